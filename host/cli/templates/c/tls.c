// What a TLS client offers in its ClientHello.
//
// The ClientHello must begin in the first payload of the flow. Only this packet is read. A larger ClientHello continues
// in the next packets; the values that they contain are null. To read them, collect the payload in the state, in the
// order of `tcp_seq`.

#include "flowloom.h"

// Indexes of the outputs, in the order of the list below.
enum { SNI, VERSION, CIPHER_COUNT, ALPN };

enum { HANDSHAKE = 22, CLIENT_HELLO = 1 };
enum { EXTENSION_SERVER_NAME = 0, EXTENSION_ALPN = 16, EXTENSION_VERSIONS = 43 };

// A text. Without a text, the size is 0.
struct text {
  uint8_t size;
  char text[255];
};

struct state {
  struct text sni, alpn;
  int32_t version, cipher_count; // -1 is null
  bool seen;
};

const char *flowloom_open(const flowloom_options *options, const flowloom_available *available,
                          flowloom_manifest *manifest) {
  static const flowloom_output outputs[] = {
      {"sni", FLOWLOOM_TEXT, "Name of the server that the client wants."},
      {"version", FLOWLOOM_INTEGER, "Highest version that the client offers: 771 is TLS 1.2, 772 is TLS 1.3."},
      {"cipher_count", FLOWLOOM_INTEGER, "Number of cipher suites that the client offers, without GREASE."},
      {"alpn", FLOWLOOM_TEXT, "First application protocol that the client offers."},
  };
  manifest->version = "0.1.0";
  manifest->description = "What a TLS client offers in its ClientHello.";
  manifest->payload_bytes = 1500;
  manifest->packets_per_flow = 10;
  manifest->outputs = outputs;
  manifest->n_outputs = sizeof outputs / sizeof *outputs;
  manifest->state_size = sizeof(struct state);
  return NULL;
}

// Returns a 16-bit number; 0 after the end of the data.
static uint16_t u16(flowloom_bytes data, size_t at) {
  return at + 2 <= data.size ? (uint16_t)(data.data[at] << 8 | data.data[at + 1]) : 0;
}

// Returns a part of the data; it must be inside.
static flowloom_bytes part(flowloom_bytes data, size_t at, size_t size) {
  return (flowloom_bytes){data.data + at, size};
}

// Sets the text to a part of the data; to nothing if the part was cut.
static void set_text(struct text *text, flowloom_bytes data, size_t at, size_t size) {
  text->size = 0;
  if (at + size > data.size) return;
  for (size_t n = 0; n < size && n < sizeof text->text; n++) {
    uint8_t byte = data.data[at + n];
    text->text[text->size++] = byte >= 32 && byte < 127 ? (char)byte : '?';
  }
}

// Returns how many of the 16-bit numbers in the data are not GREASE (RFC 8701): 0x0a0a, 0x1a1a … 0xfafa. Sets `max` to
// the largest of these; to -1 if there are none.
static int32_t without_grease(flowloom_bytes data, int32_t *max) {
  int32_t count = 0;
  *max = -1;
  for (size_t at = 0; at + 2 <= data.size; at += 2) {
    uint16_t number = u16(data, at);
    if ((number & 0x0f0f) == 0x0a0a && number >> 8 == (number & 0xff)) continue;
    count++;
    if (number > *max) *max = number;
  }
  return count;
}

static void read_extension(struct state *state, uint16_t kind, flowloom_bytes data) {
  if (kind == EXTENSION_SERVER_NAME && data.size >= 5 && data.data[2] == 0) {
    set_text(&state->sni, data, 5, u16(data, 3));
  } else if (kind == EXTENSION_ALPN && data.size >= 3) {
    set_text(&state->alpn, data, 3, data.data[2]);
  } else if (kind == EXTENSION_VERSIONS) {
    without_grease(data.size > 0 ? part(data, 1, data.size - 1) : data, &state->version);
  }
}

static void read_hello(struct state *state, flowloom_bytes payload) {
  const uint8_t *bytes = payload.data;
  // Before the session id: record header (5 bytes), handshake header (4), version (2), random (32).
  if (payload.size < 44 || bytes[0] != HANDSHAKE || bytes[1] != 3 || bytes[5] != CLIENT_HELLO) return;
  size_t end = 9 + ((size_t)bytes[6] << 16 | (size_t)bytes[7] << 8 | bytes[8]);
  flowloom_bytes hello = part(payload, 0, end < payload.size ? end : payload.size);
  size_t at = 44 + bytes[43];
  size_t suites = u16(hello, at);
  at += 2;
  if (at + suites > hello.size) return;
  int32_t max;
  state->cipher_count = without_grease(part(hello, at, suites), &max);
  at += suites;
  // Skip the compression methods, and the size of all extensions.
  at += 1 + (at < hello.size ? bytes[at] : 0) + 2;
  while (at + 4 <= hello.size) {
    uint16_t kind = u16(hello, at), size = u16(hello, at + 2);
    at += 4;
    if (at + size > hello.size) break;
    read_extension(state, kind, part(hello, at, size));
    at += size;
  }
  if (state->version < 0 && hello.size == end) state->version = u16(hello, 9);
}

void flowloom_init(void *of_flow, const flowloom_packet *packet, const flowloom_flow *flow) {
  struct state *state = of_flow;
  state->version = state->cipher_count = -1;
  flowloom_update(state, packet, flow);
}

void flowloom_update(void *of_flow, const flowloom_packet *packet, const flowloom_flow *flow) {
  struct state *state = of_flow;
  flowloom_bytes payload = flowloom_payload(packet);
  if (state->seen || payload.size == 0) return;
  state->seen = true;
  read_hello(state, payload);
}

void flowloom_expire(void *of_flow, const flowloom_flow *flow, flowloom_outputs *outputs) {
  struct state *state = of_flow;
  if (state->sni.size > 0) flowloom_set_text(outputs, SNI, state->sni.text, state->sni.size);
  if (state->version >= 0) flowloom_set_integer(outputs, VERSION, state->version);
  if (state->cipher_count >= 0) flowloom_set_integer(outputs, CIPHER_COUNT, state->cipher_count);
  if (state->alpn.size > 0) flowloom_set_text(outputs, ALPN, state->alpn.text, state->alpn.size);
}

void flowloom_finish(void) {}
