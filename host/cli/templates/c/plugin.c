// The size of a flow's largest packet, and whether the source of the flow sent it.

#include "flowloom.h"

// Indexes of the packet fields and of the outputs, in the order of the lists below.
enum { IP_SIZE, DIRECTION };
enum { SIZE, BY_SOURCE };

struct state {
  uint64_t size;
  bool by_source;
};

const char *flowloom_open(const flowloom_options *options, const flowloom_available *available,
                          flowloom_manifest *manifest) {
  static const char *const packet[] = {"ip_size", "direction", NULL};
  static const flowloom_output outputs[] = {
      {"size", FLOWLOOM_INTEGER, "Largest ip_size of the flow, bytes."},
      {"by_source", FLOWLOOM_BOOLEAN, "Whether the flow's source sent it."},
  };
  manifest->version = "0.1.0";
  manifest->description = "The largest packet of a flow.";
  manifest->packet = packet;
  manifest->outputs = outputs;
  manifest->n_outputs = 2;
  manifest->state_size = sizeof(struct state);
  return NULL;
}

void flowloom_init(void *state, const flowloom_packet *packet, const flowloom_flow *flow) {
  flowloom_update(state, packet, flow);
}

void flowloom_update(void *of_flow, const flowloom_packet *packet, const flowloom_flow *flow) {
  struct state *state = of_flow;
  uint64_t size = flowloom_unsigned(packet, IP_SIZE);
  if (size > state->size) {
    state->size = size;
    state->by_source = flowloom_unsigned(packet, DIRECTION) == 0;
  }
}

void flowloom_expire(void *of_flow, const flowloom_flow *flow, flowloom_outputs *outputs) {
  struct state *state = of_flow;
  flowloom_set_integer(outputs, SIZE, (int64_t)state->size);
  flowloom_set_boolean(outputs, BY_SOURCE, state->by_source);
}

void flowloom_finish(void) {}
