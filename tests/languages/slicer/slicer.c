// plugins/slicer in C: ends a flow after a number of packets.

#include "flowloom.h"

enum { PACKETS, SLICED };

static int64_t limit = 20;

const char *flowloom_open(const flowloom_options *options, const flowloom_available *available,
                          flowloom_manifest *manifest) {
  (void)available;
  static const flowloom_output outputs[] = {
      {"packets", FLOWLOOM_INTEGER, "Packets of the flow."},
      {"sliced", FLOWLOOM_BOOLEAN, "Whether the flow ended because it had `limit` packets."},
  };
  manifest->version = "0.1.0";
  manifest->description = "Ends a flow after a number of packets.";
  manifest->outputs = outputs;
  manifest->n_outputs = 2;
  manifest->cuts_flows = true;
  manifest->state_size = sizeof(int64_t);
  return flowloom_integer_option(options, "limit", 1, INT64_MAX, "Packets after which a flow ends.",
                                 &limit);
}

void flowloom_init(void *packets, const flowloom_packet *packet, const flowloom_flow *flow) {
  flowloom_update(packets, packet, flow);
}

void flowloom_update(void *packets, const flowloom_packet *packet, const flowloom_flow *flow) {
  (void)packet, (void)flow;
  ++*(int64_t *)packets;
}

bool flowloom_cuts(const void *packets) { return *(const int64_t *)packets >= limit; }

void flowloom_expire(void *state, const flowloom_flow *flow, flowloom_outputs *outputs) {
  (void)flow;
  int64_t packets = *(int64_t *)state;
  flowloom_set_integer(outputs, PACKETS, packets);
  flowloom_set_boolean(outputs, SLICED, packets >= limit);
}

void flowloom_finish(void) {}
