// The first DNS question of a flow, and its answer.

#include "flowloom.h"

// Indexes of the packet fields and of the outputs, in the order of the lists below.
enum { PROTOCOL, SRC_PORT, DST_PORT };
enum { QUERY, QTYPE, RCODE, ANSWERS, TARGET };

enum { UDP = 17, PORT = 53, NS = 2, CNAME = 5, PTR = 12 };

// A name. Without a name, the size is 0.
struct name {
  uint8_t size;
  char text[255];
};

struct state {
  struct name query, target;
  uint16_t qtype, answers;
  uint8_t rcode;
  bool answered;
};

const char *flowloom_open(const flowloom_options *options, const flowloom_available *available,
                          flowloom_manifest *manifest) {
  static const char *const packet[] = {"protocol", "src_port", "dst_port", NULL};
  static const flowloom_output outputs[] = {
      {"query", FLOWLOOM_TEXT, "Name in the first question."},
      {"qtype", FLOWLOOM_INTEGER, "Record type of the first question: 1 is A, 28 is AAAA."},
      {"rcode", FLOWLOOM_INTEGER, "Code of the first response: 0 is no error, 3 is NXDOMAIN."},
      {"answers", FLOWLOOM_INTEGER, "Number of answers that the first response announces."},
      {"target", FLOWLOOM_TEXT, "Name to which the first answer leads, if it is an NS, CNAME or PTR record."},
  };
  manifest->version = "0.1.0";
  manifest->description = "The first DNS question of a flow, and its answer.";
  manifest->packet = packet;
  manifest->payload_bytes = 512;
  manifest->outputs = outputs;
  manifest->n_outputs = sizeof outputs / sizeof *outputs;
  manifest->state_size = sizeof(struct state);
  return NULL;
}

static uint16_t u16(flowloom_bytes message, size_t at) {
  return (uint16_t)(message.data[at] << 8 | message.data[at + 1]);
}

// Reads a name, and returns the position after it; 0 if the name is malformed or was cut.
static size_t read_name(flowloom_bytes message, size_t at, struct name *name) {
  size_t start = at, end = 0, size = 0;
  while (at < message.size) {
    size_t length = message.data[at];
    if (length == 0) {
      if (size == 0) name->text[size++] = '.';
      name->size = (uint8_t)size;
      return end ? end : at + 1;
    }
    if (length >= 0xc0) { // a pointer to another name
      if (at + 2 > message.size) return 0;
      if (end == 0) end = at + 2;
      at = u16(message, at) & 0x3fff;
      // Pointers lead backwards only, so this loop ends. The header contains no name.
      if (at < 12 || at >= start) return 0;
      start = at;
      continue;
    }
    // In the message, a name has at most 255 bytes: each label has a byte for its length, and a 0 follows.
    size_t dot = size > 0;
    if (length > 63 || size + dot + length > 253 || at + 1 + length > message.size) return 0;
    if (dot) name->text[size++] = '.';
    for (size_t n = 1; n <= length; n++) {
      uint8_t byte = message.data[at + n];
      name->text[size++] = byte >= 32 && byte < 127 ? (char)byte : '?';
    }
    at += 1 + length;
  }
  return 0;
}

void flowloom_init(void *state, const flowloom_packet *packet, const flowloom_flow *flow) {
  flowloom_update(state, packet, flow);
}

void flowloom_update(void *of_flow, const flowloom_packet *packet, const flowloom_flow *flow) {
  struct state *state = of_flow;
  flowloom_bytes message = flowloom_payload(packet);
  if (flowloom_unsigned(packet, PROTOCOL) != UDP || message.size < 12) return;
  if (flowloom_unsigned(packet, SRC_PORT) != PORT && flowloom_unsigned(packet, DST_PORT) != PORT) return;
  bool first_response = message.data[2] >= 0x80 && !state->answered;
  uint16_t questions = u16(message, 4), answers = u16(message, 6);
  if (first_response) {
    state->answered = true;
    state->rcode = message.data[3] & 0x0f;
    state->answers = answers;
  }
  struct name name;
  size_t at = questions > 0 ? read_name(message, 12, &name) : 0;
  if (at == 0 || at + 4 > message.size) return;
  if (state->query.size == 0) {
    state->query = name;
    state->qtype = u16(message, at);
  }
  // The first answer follows the only question: a name, the type, class, TTL, size and data.
  if (!first_response || questions != 1 || answers == 0) return;
  at = read_name(message, at + 4, &name);
  if (at == 0 || at + 10 > message.size) return;
  uint16_t type = u16(message, at);
  if ((type == NS || type == CNAME || type == PTR) && read_name(message, at + 10, &name)) state->target = name;
}

void flowloom_expire(void *of_flow, const flowloom_flow *flow, flowloom_outputs *outputs) {
  struct state *state = of_flow;
  if (state->query.size > 0) {
    flowloom_set_text(outputs, QUERY, state->query.text, state->query.size);
    flowloom_set_integer(outputs, QTYPE, state->qtype);
  }
  if (state->answered) {
    flowloom_set_integer(outputs, RCODE, state->rcode);
    flowloom_set_integer(outputs, ANSWERS, state->answers);
  }
  if (state->target.size > 0) flowloom_set_text(outputs, TARGET, state->target.text, state->target.size);
}

void flowloom_finish(void) {}
