// The first HTTP/1 request and response of a flow.
//
// A request and a response are read if a packet begins with them. Header lines that continue in the next packet are
// left out.

#include <string.h>

#include "flowloom.h"

// Indexes of the outputs, in the order of the list below.
enum { METHOD, HOST, STATUS, USER_AGENT };

// A text. Without a text, the size is 0.
struct text {
  uint8_t size;
  char text[255];
};

struct state {
  struct text method, host, user_agent;
  int16_t status; // -1 is null
};

const char *flowloom_open(const flowloom_options *options, const flowloom_available *available,
                          flowloom_manifest *manifest) {
  static const flowloom_output outputs[] = {
      {"method", FLOWLOOM_TEXT, "Method of the first request."},
      {"host", FLOWLOOM_TEXT, "Header `Host` of the first request."},
      {"status", FLOWLOOM_INTEGER, "Status code of the first response."},
      {"user_agent", FLOWLOOM_TEXT, "Header `User-Agent` of the first request."},
  };
  manifest->version = "0.1.0";
  manifest->description = "The first HTTP/1 request and response of a flow.";
  manifest->payload_bytes = 1500;
  manifest->packets_per_flow = 50;
  manifest->outputs = outputs;
  manifest->n_outputs = sizeof outputs / sizeof *outputs;
  manifest->state_size = sizeof(struct state);
  return NULL;
}

static bool starts_with(flowloom_bytes data, const char *start) {
  return data.size >= strlen(start) && memcmp(data.data, start, strlen(start)) == 0;
}

// Returns the data from this position on; it must be inside.
static flowloom_bytes rest(flowloom_bytes data, size_t at) {
  return (flowloom_bytes){data.data + at, data.size - at};
}

// Takes the next line from the data. Returns false if no complete line is left.
static bool next_line(flowloom_bytes *data, flowloom_bytes *line) {
  const uint8_t *end = data->size > 0 ? memchr(data->data, '\n', data->size) : NULL;
  if (end == NULL) return false;
  size_t size = (size_t)(end - data->data);
  *line = (flowloom_bytes){data->data, size > 0 && end[-1] == '\r' ? size - 1 : size};
  *data = rest(*data, size + 1);
  return true;
}

static void set_text(struct text *text, flowloom_bytes data) {
  for (size_t n = 0; n < data.size && n < sizeof text->text; n++) {
    uint8_t byte = data.data[n];
    text->text[text->size++] = byte >= 32 && byte < 127 ? (char)byte : '?';
  }
}

// Sets the text to the value of a header line, if the line has this name, in lower case, and the text is not set.
static void read_header(struct text *text, flowloom_bytes line, const char *name) {
  size_t size = strlen(name);
  if (text->size > 0 || line.size <= size || line.data[size] != ':') return;
  for (size_t n = 0; n < size; n++) {
    uint8_t byte = line.data[n];
    if ((byte >= 'A' && byte <= 'Z' ? byte + 32 : byte) != name[n]) return;
  }
  flowloom_bytes value = rest(line, size + 1);
  while (value.size > 0 && (value.data[0] == ' ' || value.data[0] == '\t')) value = rest(value, 1);
  while (value.size > 0 && (value.data[value.size - 1] == ' ' || value.data[value.size - 1] == '\t')) value.size--;
  set_text(text, value);
}

static void read_request(struct state *state, flowloom_bytes payload) {
  flowloom_bytes line;
  if (!next_line(&payload, &line)) return;
  // `GET / HTTP/1.1`
  size_t method = 0;
  while (method < line.size && ((line.data[method] >= 'A' && line.data[method] <= 'Z') || line.data[method] == '-'))
    method++;
  if (method == 0 || line.size < method + 11 || line.data[method] != ' ') return;
  if (!starts_with(rest(line, line.size - 9), " HTTP/1.")) return;
  set_text(&state->method, (flowloom_bytes){line.data, method});
  while (next_line(&payload, &line) && line.size > 0) {
    read_header(&state->host, line, "host");
    read_header(&state->user_agent, line, "user-agent");
  }
}

void flowloom_init(void *of_flow, const flowloom_packet *packet, const flowloom_flow *flow) {
  struct state *state = of_flow;
  state->status = -1;
  flowloom_update(state, packet, flow);
}

static bool is_digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }

void flowloom_update(void *of_flow, const flowloom_packet *packet, const flowloom_flow *flow) {
  struct state *state = of_flow;
  flowloom_bytes payload = flowloom_payload(packet);
  if (state->status < 0 && starts_with(payload, "HTTP/1.")) {
    // `HTTP/1.1 200 OK`
    const uint8_t *code = payload.data + 9;
    if (payload.size >= 12 && code[-1] == ' ' && is_digit(code[0]) && is_digit(code[1]) && is_digit(code[2]))
      state->status = (int16_t)((code[0] - '0') * 100 + (code[1] - '0') * 10 + code[2] - '0');
  } else if (state->method.size == 0) {
    read_request(state, payload);
  }
}

void flowloom_expire(void *of_flow, const flowloom_flow *flow, flowloom_outputs *outputs) {
  struct state *state = of_flow;
  if (state->method.size > 0) flowloom_set_text(outputs, METHOD, state->method.text, state->method.size);
  if (state->host.size > 0) flowloom_set_text(outputs, HOST, state->host.text, state->host.size);
  if (state->status >= 0) flowloom_set_integer(outputs, STATUS, state->status);
  if (state->user_agent.size > 0)
    flowloom_set_text(outputs, USER_AGENT, state->user_agent.text, state->user_agent.size);
}

void flowloom_finish(void) {}
