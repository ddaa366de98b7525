// Makes the mistakes of an author. The option `mistake` selects one. mistakes.py builds it, and compares what Flowloom
// writes.
//
// The compiler finds `misspelt_key`, `misspelt_method` and `wrong_type_float`: it rejects an unknown name of a member, the
// linker a missing function, and it converts a float to an integer. The conversions of NaN and of a too large float are
// undefined in C, so the SDK cannot see `not_a_number` and `too_large`. C has no exceptions; flowloom_fail takes their
// place. C does not check indexes (`index`).

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flowloom.h"

enum { IP_SIZE, DIRECTION, N_PACKET };
enum { BYTES, N_FLOW };
enum { V, T, J, N_OUTPUTS };

struct state {
  int64_t packets;
};

static const char *mistake;
static bool has_printed;

static bool is(const char *name) { return strcmp(mistake, name) == 0; }

const char *flowloom_open(const flowloom_options *options, const flowloom_available *available,
                          flowloom_manifest *manifest) {
  (void)available;
  static const char *packet[] = {"ip_size", "direction", NULL, NULL};
  static const char *at_expire[] = {"bidirectional_bytes", NULL, NULL};
  static const flowloom_output outputs[] = {
      {"v", FLOWLOOM_INTEGER, "Packets of the flow."},
      {"t", FLOWLOOM_TEXT, "A text."},
      {"j", FLOWLOOM_JSON, "A JSON value."},
  };
  const char *error = flowloom_text_option(options, "mistake", "a name", "The mistake to make.", &mistake);
  if (error || (error = flowloom_require(options, "mistake"))) return error;
  if (is("unknown_packet_field")) packet[N_PACKET] = "ip_siz"; // mistake: unknown_packet_field
  if (is("unknown_flow_field")) at_expire[N_FLOW] = "bidirectional_byte"; // mistake: unknown_flow_field
  if (is("exception_in_open")) flowloom_fail("cannot open"); // mistake: exception_in_open
  manifest->version = "0.1.0";
  manifest->description = "Makes mistakes.";
  manifest->packet = packet;
  manifest->at_expire = at_expire;
  manifest->outputs = outputs;
  manifest->n_outputs = is("no_outputs") ? 0 : N_OUTPUTS; // mistake: no_outputs
  manifest->state_size = sizeof(struct state);
  return NULL;
}

void flowloom_init(void *of_flow, const flowloom_packet *packet, const flowloom_flow *flow) {
  struct state *state = of_flow;
  state->packets = 1;
  if (is("undeclared_flow_field_at_init")) state->packets += flowloom_signed(flow, 0); // mistake: undeclared_flow_field_at_init
  if (is("wrong_type_of_field")) state->packets += (int64_t)flowloom_text(packet, IP_SIZE).size; // mistake: wrong_type_of_field
  if (is("exception_in_init")) flowloom_fail("cannot begin"); // mistake: exception_in_init
}

static int fill(int depth, volatile const char *above) {
  volatile char room[64];
  room[0] = above[0];
  return fill(depth + 1, room) + room[0];
}

static int64_t divide(int64_t by) { return 100 / by; }

static void check(const struct state *state) { assert(state->packets < 0); }

static void allocate(struct state *state) {
  for (;;) {
    char *more = malloc(1 << 20);
    if (more == NULL) flowloom_fail("no memory for the names of a flow");
    *(volatile char *)more = 1;
    state->packets += *more;
  }
}

static void trap(void) { __builtin_trap(); }

static void loop(struct state *state) {
  for (volatile int64_t *packets = &state->packets;; ++*packets) continue;
}

void flowloom_update(void *of_flow, const flowloom_packet *packet, const flowloom_flow *flow) {
  (void)flow;
  struct state *state = of_flow;
  state->packets++;
  if (is("undeclared_packet_field")) state->packets += (int64_t)flowloom_unsigned(packet, N_PACKET); // mistake: undeclared_packet_field
  if (is("exception_in_update")) flowloom_fail("cannot continue"); // mistake: exception_in_update
  if (is("print") && !has_printed) { // mistake: print
    has_printed = true;
    printf("%d packets,", (int)state->packets);
    puts(" and more");
    fprintf(stderr, "a line on stderr: %d\n", 7);
    printf("a line without an end");
  }
  if (is("loop")) loop(state); // mistake: loop
  if (is("recursion")) state->packets += fill(0, (const char *)&state->packets); // mistake: recursion
  if (is("allocation")) allocate(state); // mistake: allocation
  if (is("division")) state->packets += divide(state->packets - 2); // mistake: division
  if (is("panic")) abort(); // mistake: panic
  if (is("trap")) trap(); // mistake: trap
  if (is("assert")) check(state); // mistake: assert
  if (is("exit")) exit(3); // mistake: exit
}

void flowloom_expire(void *of_flow, const flowloom_flow *flow, flowloom_outputs *outputs) {
  struct state *state = of_flow;
  if (is("undeclared_flow_field")) state->packets += flowloom_signed(flow, N_FLOW); // mistake: undeclared_flow_field
  if (is("wrong_type_text")) flowloom_set_text(outputs, V, "x", 1); // mistake: wrong_type_text
  if (is("unknown_output")) flowloom_set_integer(outputs, N_OUTPUTS, 1); // mistake: unknown_output
  if (is("set_twice")) flowloom_set_integer(outputs, V, 1); // mistake: set_twice
  if (is("invalid_json")) flowloom_set_json(outputs, J, "{", 1); // mistake: invalid_json
  if (is("exception_in_expire")) flowloom_fail("cannot end"); // mistake: exception_in_expire
  flowloom_set_integer(outputs, V, state->packets);
  flowloom_set_text(outputs, T, "t", 1);
}

void flowloom_finish(void) {
  if (is("exception_in_finish")) flowloom_fail("cannot finish"); // mistake: exception_in_finish
}
