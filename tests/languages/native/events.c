// Calls the C SDK as Flowloom does, one event at a time, in a native program with sanitizers (native/run.sh).
// Many flows begin and end in random order. Each state must belong to its flow and keep its address. An event
// must free all memory that it allocates.

#include <assert.h>
#include <sanitizer/lsan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flowloom.h"

typedef exports_flowloom_plugin_feature_value_t value;
typedef exports_flowloom_plugin_feature_values_t event_values;

enum { FLOWS = 20000, EVENTS = 400000, CUT_AFTER = 5 };

// The plugin

struct state {
  struct state *self;
  uint64_t id;
  uint32_t events;
};

const char *flowloom_open(const flowloom_options *options, const flowloom_available *available,
                          flowloom_manifest *manifest) {
  static const char *const packet[] = {"ip_size", "src_ip", "syn", NULL};
  static const char *const at_init[] = {"id", NULL};
  static const char *const at_expire[] = {"id", "src_ip_is_private", "bidirectional_mean_ps", "splt_ps", NULL};
  static const flowloom_output outputs[] = {
      {"id", FLOWLOOM_INTEGER, "The id."},
      {"texts", FLOWLOOM_TEXTS, "One text, or none."},
      {"absent", FLOWLOOM_TEXT, "Null."},
  };
  double factor = 0.1;
  bool flag = true;
  const char *name = NULL, *file = NULL;
  int64_t number = 7;
  assert(flowloom_has_packet_field(available, "src_ip") && !flowloom_has_packet_field(available, "id"));
  assert(flowloom_has_flow_field(available, "id") && !flowloom_has_flow_field(available, "src_ip"));
  assert(available->payload_bytes == 16 && available->packet_bytes == 0);
  assert(!flowloom_float_option(options, "factor", -1, 1, "A factor.", &factor) && factor == -0.5);
  assert(!flowloom_boolean_option(options, "flag", "A flag.", &flag) && !flag);
  assert(!flowloom_text_option(options, "name", "a text", "A name.", &name) && !name);
  assert(!flowloom_text_option(options, "file", "a text", "A file.", &file) && !strcmp(file, "x"));
  assert(!flowloom_require(options, "file") && flowloom_require(options, "name"));
  assert(!flowloom_integer_option(options, "number", INT64_MIN, 9, "A number.", &number) && number == INT64_MIN);
  manifest->packet = packet;
  manifest->at_init = at_init;
  manifest->at_expire = at_expire;
  manifest->payload_bytes = available->payload_bytes;
  manifest->outputs = outputs;
  manifest->n_outputs = 3;
  manifest->state_size = sizeof(struct state);
  manifest->allocated_bytes = 1000;
  manifest->cuts_flows = true;
  return NULL;
}

static void see(struct state *state, const flowloom_packet *packet) {
  flowloom_bytes address = flowloom_text(packet, 1), payload = flowloom_payload(packet);
  assert(flowloom_unsigned(packet, 0) == state->id % 1500 && flowloom_unsigned(packet, 2) == (state->id & 1));
  assert(address.size == 2 && !memcmp(address.data, "::", 2));
  assert(payload.size == 3 && !memcmp(payload.data, "GET", 3) && flowloom_packet_bytes(packet).size == 0);
  state->events++;
}

void flowloom_init(void *of_flow, const flowloom_packet *packet, const flowloom_flow *flow) {
  struct state *state = of_flow;
  assert(!state->self && !state->id && !state->events);
  state->self = state;
  state->id = flowloom_unsigned(flow, 0);
  see(state, packet);
}

void flowloom_update(void *of_flow, const flowloom_packet *packet, const flowloom_flow *flow) {
  (void)flow;
  see(of_flow, packet);
}

bool flowloom_cuts(const void *of_flow) { return ((const struct state *)of_flow)->events == CUT_AFTER; }

void flowloom_expire(void *of_flow, const flowloom_flow *flow, flowloom_outputs *outputs) {
  struct state *state = of_flow;
  flowloom_integers sizes = flowloom_list(flow, 3);
  assert(state->self == state && flowloom_signed(flow, 0) == (int64_t)state->id);
  assert(flowloom_unsigned(flow, 1) == 1 && flowloom_float(flow, 2) == 0.5);
  assert(sizes.size == 2 && sizes.data[0] == 40 && sizes.data[1] == -1);
  flowloom_set_integer(outputs, 0, (int64_t)state->id);
  flowloom_bytes text = {(const uint8_t *)"one", 3};
  flowloom_set_texts(outputs, 1, &text, state->id & 1);
}

void flowloom_finish(void) {}

// The host

void __wasm_import_flowloom_plugin_log_write(int32_t level, uint8_t *line, size_t size) {
  fprintf(stderr, "%d %.*s\n", level, (int)size, (char *)line);
}

// The contract in binary form, which only a component needs.
void __component_type_object_force_link_dual_plugin(void) {}

static uint64_t random_number(void) {
  static uint64_t state = 88172645463325252;
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

static event_values listed(size_t size) {
  event_values values = {.tag = EXPORTS_FLOWLOOM_PLUGIN_FEATURE_VALUES_LISTED};
  values.val.listed.ptr = calloc(size, sizeof(value));
  values.val.listed.len = size;
  return values;
}

static value integer(uint64_t id) {
  value value = {.tag = EXPORTS_FLOWLOOM_PLUGIN_FEATURE_VALUE_INTEGER, .val.integer = (int64_t)id};
  return value;
}

static value text(uint8_t tag, const char *characters) {
  value value = {.tag = tag};
  dual_plugin_string_dup(&value.val.text, characters);
  return value;
}

static bool packet(uint64_t id, bool is_first) {
  exports_flowloom_plugin_feature_packet_t record = {.ip_size = (uint32_t)(id % 1500),
                                                     .tcp_flags = id & 1 ? 2 : 0};
  event_values values = listed(2 + is_first);
  values.val.listed.ptr[0] = text(EXPORTS_FLOWLOOM_PLUGIN_FEATURE_VALUE_TEXT, "::");
  values.val.listed.ptr[1] = text(EXPORTS_FLOWLOOM_PLUGIN_FEATURE_VALUE_BYTES, "GET");
  if (is_first) values.val.listed.ptr[2] = integer(id);
  return (is_first ? exports_flowloom_plugin_feature_init(id, &record, &values)
                   : exports_flowloom_plugin_feature_update(id, &record, &values)) ==
         EXPORTS_FLOWLOOM_PLUGIN_FEATURE_VERDICT_CUT;
}

static void expire(uint64_t id) {
  event_values values = listed(4);
  value *of_flow = values.val.listed.ptr;
  of_flow[0] = integer(id);
  of_flow[1].tag = EXPORTS_FLOWLOOM_PLUGIN_FEATURE_VALUE_BOOLEAN;
  of_flow[1].val.boolean = true;
  of_flow[2].tag = EXPORTS_FLOWLOOM_PLUGIN_FEATURE_VALUE_FLOAT;
  of_flow[2].val.float_ = 0.5;
  of_flow[3].tag = EXPORTS_FLOWLOOM_PLUGIN_FEATURE_VALUE_INTEGERS;
  of_flow[3].val.integers.ptr = calloc(2, sizeof(int64_t));
  of_flow[3].val.integers.len = 2;
  of_flow[3].val.integers.ptr[0] = 40;
  of_flow[3].val.integers.ptr[1] = -1;
  exports_flowloom_plugin_feature_list_value_t answer;
  exports_flowloom_plugin_feature_expire(id, &values, &answer);
  assert(answer.len == 3 && answer.ptr[0].val.integer == (int64_t)id);
  assert(answer.ptr[1].tag == EXPORTS_FLOWLOOM_PLUGIN_FEATURE_VALUE_TEXTS);
  assert(answer.ptr[1].val.texts.len == (id & 1));
  assert(answer.ptr[2].tag == EXPORTS_FLOWLOOM_PLUGIN_FEATURE_VALUE_NULL);
  exports_flowloom_plugin_feature_list_value_free(&answer);
}

static void open_plugin(void) {
  static const char *const given[][2] = {
      {"factor", "-5e-1"}, {"flag", "false"}, {"file", "x"}, {"number", "-9223372036854775808"}};
  exports_flowloom_plugin_feature_options_t options = {calloc(4, sizeof *options.ptr), 4};
  for (size_t n = 0; n < 4; n++) {
    dual_plugin_string_dup(&options.ptr[n].f0, given[n][0]);
    dual_plugin_string_dup(&options.ptr[n].f1, given[n][1]);
  }
  exports_flowloom_plugin_feature_available_t available = {.payload_bytes = 16};
  available.packet.ptr = calloc(1, sizeof *available.packet.ptr);
  available.flow.ptr = calloc(1, sizeof *available.flow.ptr);
  available.packet.len = available.flow.len = 1;
  dual_plugin_string_dup(available.packet.ptr, "src_ip");
  dual_plugin_string_dup(available.flow.ptr, "id");
  exports_flowloom_plugin_feature_manifest_t manifest;
  dual_plugin_string_t error;
  assert(exports_flowloom_plugin_feature_open(&options, &available, &manifest, &error));
  static const char *const defaults[] = {"0.1", "true", NULL, NULL, "7"};
  static const char *const accepts[] = {"a number from -1 to 1", "true or false", "a text", "a text",
                                        "an integer from -9223372036854775808 to 9"};
  assert(manifest.options.len == 5 && manifest.flow_bytes > 1000 + sizeof(struct state) && manifest.cuts_flows);
  for (size_t n = 0; n < 5; n++) {
    flowloom_plugin_manifest_option_description_t *option = &manifest.options.ptr[n];
    assert(option->default_.is_some == (defaults[n] != NULL));
    assert(!defaults[n] || (option->default_.val.len == strlen(defaults[n]) &&
                            !memcmp(option->default_.val.ptr, defaults[n], option->default_.val.len)));
    assert(option->accepts.len == strlen(accepts[n]) &&
           !memcmp(option->accepts.ptr, accepts[n], option->accepts.len));
  }
  exports_flowloom_plugin_feature_manifest_free(&manifest);
}

int main(void) {
  static uint64_t live[FLOWS];      // ids
  static uint32_t packets[FLOWS];   // packets of each
  size_t n_live = 0, cuts = 0, inits = 0;
  __lsan_disable(); // the texts of options are never freed
  open_plugin();
  __lsan_enable();
  for (size_t event = 0; event < EVENTS; event++) {
    size_t n = n_live ? random_number() % n_live : 0;
    // The number of flows rises to FLOWS and falls, several times.
    bool rises = event / (EVENTS / 8) % 2 == 0;
    uint64_t choice = random_number() % 10;
    if (n_live == 0 || (n_live < FLOWS && choice < (rises ? 6 : 2))) {
      // Consecutive ids, with gaps and with high bits.
      live[n_live] = inits++ * 3 + (choice == 0 ? UINT64_C(1) << 40 : 0);
      packets[n_live] = 1;
      assert(!packet(live[n_live++], true));
    } else if (choice < 8 && packets[n] < CUT_AFTER) {
      bool is_cut = packet(live[n], false);
      assert(is_cut == (++packets[n] == CUT_AFTER));
      cuts += is_cut;
    } else {
      expire(live[n]);
      live[n] = live[--n_live];
      packets[n] = packets[n_live];
    }
  }
  while (n_live) expire(live[--n_live]);
  exports_flowloom_plugin_feature_finish();
  assert(cuts > 1000 && inits > FLOWS);
  printf("%zu flows, %zu cut\n", inits, cuts);
}
