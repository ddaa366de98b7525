// Has an option of every type, and requests what is available. adapt.py builds it.

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "flowloom.h"

enum { MOST_BYTES = 16, MOST_TEXTS = 9 };

struct state {
  uint32_t payload, bytes;
};

static char options_read[4][32];
static const char *requested[3];

static void copy(char *to, const char *text) { snprintf(to, sizeof options_read[0], "%s", text); }

static uint32_t smaller(uint32_t granted) { return granted < MOST_BYTES ? granted : MOST_BYTES; }

const char *flowloom_open(const flowloom_options *options, const flowloom_available *available,
                          flowloom_manifest *manifest) {
  static const char *const wanted_of_packet[] = {"ttl", "src_ip"};
  static const char *const wanted[] = {"dst_port", "application_name", "bidirectional_mean_ps"};
  static const char *packet[3], *at_expire[4];
  static const flowloom_output outputs[] = {
      {"values", FLOWLOOM_TEXTS, "The options, and the fields that were requested."}};
  int64_t count = 3;
  double share = 0;
  bool all = false;
  const char *name = NULL, *error;
  if ((error = flowloom_integer_option(options, "count", 1, 9, "A number of things.", &count))) return error;
  if ((error = flowloom_float_option(options, "share", -INFINITY, INFINITY, "A share.", &share))) return error;
  if ((error = flowloom_require(options, "share"))) return error;
  if ((error = flowloom_boolean_option(options, "all", "Whether all count.", &all))) return error;
  if ((error = flowloom_text_option(options, "name", "a text", "A name.", &name))) return error;
  snprintf(options_read[0], sizeof options_read[0], "%d", (int)count);
  snprintf(options_read[1], sizeof options_read[1], "%g", share);
  copy(options_read[2], all ? "True" : "False");
  copy(options_read[3], name ? name : "None");

  if (*available->packet == NULL) return "no packet fields are available";
  size_t n_packet = 0, n_flow = 0;
  for (size_t n = 0; n < 2; n++)
    if (flowloom_has_packet_field(available, wanted_of_packet[n])) packet[n_packet++] = wanted_of_packet[n];
  for (size_t n = 0; n < 3; n++)
    if (flowloom_has_flow_field(available, wanted[n])) at_expire[n_flow++] = wanted[n];
  memcpy(requested, at_expire, sizeof requested);
  manifest->version = "0.1.0";
  manifest->description = "Requests what is available.";
  manifest->outputs = outputs;
  manifest->n_outputs = 1;
  manifest->packet = packet;
  manifest->at_expire = at_expire;
  manifest->payload_bytes = smaller(available->payload_bytes);
  manifest->packet_bytes = smaller(available->packet_bytes);
  manifest->state_size = sizeof(struct state);
  manifest->allocated_bytes = 992;
  return NULL;
}

void flowloom_init(void *state, const flowloom_packet *packet, const flowloom_flow *flow) {
  flowloom_update(state, packet, flow);
}

void flowloom_update(void *of_flow, const flowloom_packet *packet, const flowloom_flow *flow) {
  (void)flow;
  struct state *state = of_flow;
  uint32_t payload = (uint32_t)flowloom_payload(packet).size;
  uint32_t bytes = (uint32_t)flowloom_packet_bytes(packet).size;
  if (payload > state->payload) state->payload = payload;
  if (bytes > state->bytes) state->bytes = bytes;
}

static flowloom_bytes text(const char *characters) {
  flowloom_bytes text = {(const uint8_t *)characters, strlen(characters)};
  return text;
}

void flowloom_expire(void *of_flow, const flowloom_flow *flow, flowloom_outputs *outputs) {
  (void)flow;
  struct state *state = of_flow;
  if (strcmp(options_read[3], "wrong") == 0) flowloom_set_text(outputs, 0, "a text", 6);
  char payload[16], bytes[16];
  flowloom_bytes texts[MOST_TEXTS];
  size_t n_texts = 0;
  snprintf(payload, sizeof payload, "%u", (unsigned)state->payload);
  snprintf(bytes, sizeof bytes, "%u", (unsigned)state->bytes);
  for (size_t n = 0; n < 4; n++) texts[n_texts++] = text(options_read[n]);
  texts[n_texts++] = text(payload);
  texts[n_texts++] = text(bytes);
  for (size_t n = 0; n < 3 && requested[n]; n++) texts[n_texts++] = text(requested[n]);
  flowloom_set_texts(outputs, 0, texts, n_texts);
}

void flowloom_finish(void) {}
