// Count, mean and standard deviation of a flow's packet sizes, and the entropy of its first payload
// bytes. The C version of plugins/first_bytes_stats.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "flowloom.h"

// The maximum of the option `n`: payload bytes to keep per flow.
enum { MOST = 4096 };

// Indexes of the packet fields and of the outputs, in the order of the lists in flowloom_open.
enum { IP_SIZE };
enum { COUNT, MEAN, STDDEV, BYTES, ENTROPY };

// The state of a flow.
struct state {
  int64_t count;
  double mean;
  double squares; // sum of the squared differences from the mean
  uint8_t *first; // the flow's first payload bytes
  size_t bytes;   // number of bytes in `first`
};

static size_t most; // payload bytes to use

const char *flowloom_open(const flowloom_options *options, const flowloom_available *available,
                          flowloom_manifest *manifest) {
  (void)available;
  static const char *const packet[] = {"ip_size", NULL};
  static const flowloom_output outputs[] = {
      {"count", FLOWLOOM_INTEGER, "Packets of the flow."},
      {"mean", FLOWLOOM_FLOAT, "Mean of their ip_size, bytes."},
      {"stddev", FLOWLOOM_FLOAT, "Sample standard deviation of their ip_size, bytes; 0 for one packet."},
      {"bytes", FLOWLOOM_INTEGER, "Payload bytes that the entropy is of."},
      {"entropy", FLOWLOOM_FLOAT, "Shannon entropy of the first payload bytes, bits a byte; null without payload."},
  };
  int64_t n = 64;
  const char *error = flowloom_integer_option(options, "n", 1, MOST,
                                              "Number of payload bytes per flow to use for the entropy.", &n);
  if (error) return error;
  most = (size_t)n;

  manifest->version = "0.1.0";
  manifest->description = "Packet sizes, and the entropy of a flow's first payload bytes.";
  manifest->outputs = outputs;
  manifest->n_outputs = sizeof outputs / sizeof *outputs;
  manifest->packet = packet;
  manifest->payload_bytes = (uint32_t)n;
  manifest->state_size = sizeof(struct state);
  manifest->allocated_bytes = 2 * (size_t)n + 32; // an allocator may round up to a power of two
  return NULL;
}

void flowloom_init(void *state, const flowloom_packet *packet, const flowloom_flow *flow) {
  flowloom_update(state, packet, flow);
}

void flowloom_update(void *of_flow, const flowloom_packet *packet, const flowloom_flow *flow) {
  (void)flow;
  struct state *state = of_flow;
  double size = (double)flowloom_unsigned(packet, IP_SIZE);
  double off = size - state->mean;
  state->count++;
  state->mean += off / (double)state->count;
  state->squares += off * (size - state->mean);

  flowloom_bytes payload = flowloom_payload(packet);
  size_t taken = most - state->bytes < payload.size ? most - state->bytes : payload.size;
  if (taken == 0) return;
  state->first = realloc(state->first, state->bytes + taken);
  if (state->first == NULL) flowloom_fail("cannot allocate memory for the first bytes of a flow");
  memcpy(state->first + state->bytes, payload.data, taken);
  state->bytes += taken;
}

// Sums in the order of the byte values, because the result of a float sum depends on the order.
static double entropy(const uint8_t *bytes, size_t size) {
  size_t counts[256] = {0};
  double entropy = 0;
  for (size_t n = 0; n < size; n++) counts[bytes[n]]++;
  for (size_t value = 0; value < 256; value++) {
    if (counts[value] == 0) continue;
    double share = (double)counts[value] / (double)size;
    entropy -= share * log2(share);
  }
  return entropy;
}

void flowloom_expire(void *of_flow, const flowloom_flow *flow, flowloom_outputs *outputs) {
  (void)flow;
  struct state *state = of_flow;
  flowloom_set_integer(outputs, COUNT, state->count);
  flowloom_set_float(outputs, MEAN, state->mean);
  flowloom_set_float(outputs, STDDEV,
                     state->count == 1 ? 0 : sqrt(state->squares / (double)(state->count - 1)));
  flowloom_set_integer(outputs, BYTES, (int64_t)state->bytes);
  if (state->bytes) flowloom_set_float(outputs, ENTROPY, entropy(state->first, state->bytes));
  free(state->first);
}

void flowloom_finish(void) {}
