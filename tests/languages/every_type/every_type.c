// tests/guests/every_type in C.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flowloom.h"

enum { SYN, TTL, DST_PORT, TCP_FLAGS, DIRECTION, TCP_SEQ, TIME_MS, SRC_IP };
enum { ID, DST_IP };
enum { EXPIRATION_ID, MEAN_PS, SPLT_PS };
enum { OUT_SYN, SUM, MEAN, PEERS, LAST, SIZES, PACKETS, LETTERS, REASON };

struct state {
  bool syn;
  int64_t sum;
  char *peers;
  size_t peers_size;
  uint8_t last[28];
  size_t last_size;
  double *packets;
  size_t updates;
};

static int64_t add, cuts, most, flows;
static double factor = 1;
static bool negate;
static const char *name;

const char *flowloom_open(const flowloom_options *options, const flowloom_available *available,
                          flowloom_manifest *manifest) {
  (void)available;
  const char *error;
  if ((error = flowloom_integer_option(options, "add", 0, UINT32_MAX, "Added to `sum`.", &add))) return error;
  if ((error = flowloom_float_option(options, "factor", -INFINITY, INFINITY, "Factor of `mean`.", &factor)))
    return error;
  if ((error = flowloom_boolean_option(options, "negate", "Whether `syn` is negated.", &negate))) return error;
  if ((error = flowloom_text_option(options, "name", "a text", "Text before `peers`.", &name))) return error;
  if ((error = flowloom_integer_option(options, "cuts", 0, UINT32_MAX, "Packets after which a flow ends.", &cuts)))
    return error;
  if ((error = flowloom_integer_option(options, "most", 0, UINT32_MAX, "Packets of a flow to count.", &most)))
    return error;
  static const char *const packet[] = {"syn",       "ttl",     "dst_port", "tcp_flags", "direction",
                                       "tcp_seq", "time_ms", "src_ip",   NULL};
  static const char *const at_init[] = {"id", "dst_ip", NULL};
  static const char *const at_update[] = {"bidirectional_packets", NULL};
  static const char *const at_expire[] = {"expiration_id", "bidirectional_mean_ps", "splt_ps", NULL};
  static const flowloom_output outputs[] = {
      {"syn", FLOWLOOM_BOOLEAN, ""},   {"sum", FLOWLOOM_INTEGER, ""},    {"mean", FLOWLOOM_FLOAT, ""},
      {"peers", FLOWLOOM_TEXT, ""},    {"last", FLOWLOOM_BYTES, ""},     {"sizes", FLOWLOOM_INTEGERS, ""},
      {"packets", FLOWLOOM_FLOATS, ""}, {"letters", FLOWLOOM_TEXTS, ""}, {"reason", FLOWLOOM_JSON, ""},
  };
  manifest->version = "0.1.0";
  manifest->description = "An output of every type.";
  manifest->outputs = outputs;
  manifest->n_outputs = 9;
  manifest->packet = packet;
  manifest->at_init = at_init;
  manifest->at_update = at_update;
  manifest->at_expire = at_expire;
  manifest->payload_bytes = 8;
  manifest->packet_bytes = 20;
  manifest->packets_per_flow = (uint32_t)most;
  manifest->cuts_flows = cuts > 0;
  manifest->needs_one_meter = name != NULL;
  manifest->state_size = sizeof(struct state);
  return NULL;
}

static void add_peer(struct state *state, flowloom_bytes text) {
  state->peers = realloc(state->peers, state->peers_size + text.size);
  memcpy(state->peers + state->peers_size, text.data, text.size);
  state->peers_size += text.size;
}

static void see(struct state *state, const flowloom_packet *packet) {
  state->sum %= INT64_C(1) << 40;
  for (size_t field = TTL; field <= TIME_MS; field++)
    state->sum += (int64_t)flowloom_unsigned(packet, field);
  if (state->updates < 3) {
    flowloom_bytes space = {(const uint8_t *)" ", 1};
    add_peer(state, space);
    add_peer(state, flowloom_text(packet, SRC_IP));
  }
  flowloom_bytes payload = flowloom_payload(packet), bytes = flowloom_packet_bytes(packet);
  state->last_size = payload.size + bytes.size;
  memcpy(state->last, payload.data, payload.size);
  memcpy(state->last + payload.size, bytes.data, bytes.size);
}

void flowloom_init(void *of_flow, const flowloom_packet *packet, const flowloom_flow *flow) {
  struct state *state = of_flow;
  state->syn = flowloom_unsigned(packet, SYN) == 1;
  state->sum = (int64_t)flowloom_unsigned(flow, ID);
  add_peer(state, flowloom_text(flow, DST_IP));
  see(state, packet);
}

void flowloom_update(void *of_flow, const flowloom_packet *packet, const flowloom_flow *flow) {
  struct state *state = of_flow;
  state->packets = realloc(state->packets, (state->updates + 1) * sizeof(double));
  state->packets[state->updates++] = (double)flowloom_unsigned(flow, 0);
  see(state, packet);
}

bool flowloom_cuts(const void *state) {
  return (int64_t)((const struct state *)state)->updates + 1 >= cuts;
}

void flowloom_expire(void *of_flow, const flowloom_flow *flow, flowloom_outputs *outputs) {
  struct state *state = of_flow;
  flows++;
  if (state->updates % 2 == 0) flowloom_set_boolean(outputs, OUT_SYN, state->syn != negate);
  flowloom_set_integer(outputs, SUM, state->sum + add);
  double mean = flowloom_float(flow, MEAN_PS);
  if (mean > 100) flowloom_set_float(outputs, MEAN, mean * factor);
  size_t name_size = name ? strlen(name) : 0;
  char *peers = malloc(name_size + state->peers_size);
  if (name) memcpy(peers, name, name_size);
  memcpy(peers + name_size, state->peers, state->peers_size);
  flowloom_set_text(outputs, PEERS, peers, name_size + state->peers_size);
  free(peers);
  if (state->updates != 1) flowloom_set_bytes(outputs, LAST, state->last, state->last_size);
  flowloom_integers sizes = flowloom_list(flow, SPLT_PS);
  flowloom_set_integers(outputs, SIZES, sizes.data, sizes.size);
  if (state->updates) flowloom_set_floats(outputs, PACKETS, state->packets, state->updates);
  flowloom_bytes letters[5];
  size_t n_letters = 0;
  for (size_t n = 0; n < state->peers_size; n++) {
    if (n > 0 && state->peers[n - 1] != ' ') continue;
    flowloom_bytes letter = {(const uint8_t *)state->peers + n, 1};
    letters[n_letters++] = letter;
  }
  if (state->updates) flowloom_set_texts(outputs, LETTERS, letters, n_letters);
  int64_t reason = flowloom_signed(flow, EXPIRATION_ID);
  char digits[2] = {(char)('0' + (reason < 0 ? -reason : reason)), 0};
  const char *json = flowloom_join("{\"ü\":", reason < 0 ? "-" : "", digits, "}", NULL);
  flowloom_set_json(outputs, REASON, json, strlen(json));
  free((void *)json);
  free(state->peers);
  free(state->packets);
}

void flowloom_finish(void) {
  if (name == NULL) return;
  char count[32];
  snprintf(count, sizeof count, ": %lld flows", (long long)flows);
  const char *line = flowloom_join(name, count, NULL);
  for (int level = FLOWLOOM_ERROR; level <= FLOWLOOM_DEBUG; level++) flowloom_log((flowloom_level)level, line);
  free((void *)line);
}
