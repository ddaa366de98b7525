// Opens the plugin, in either world of the contract.

#include "internal.h"

#include <stdlib.h>
#include <string.h>

typedef flowloom_plugin_manifest_manifest_t wit_manifest;
typedef flowloom_plugin_manifest_options_t wit_options;
typedef flowloom_plugin_manifest_available_t wit_available;

flowloom_manifest flowloom_opened;

static size_t count(const char *const *names) {
  size_t size = 0;
  while (names && names[size]) size++;
  return size;
}

static dual_plugin_list_string_t list_of(const char *const *names) {
  dual_plugin_list_string_t list = {flowloom_allocate(count(names), sizeof *list.ptr), count(names)};
  for (size_t n = 0; n < list.len; n++) dual_plugin_string_dup(&list.ptr[n], names[n]);
  return list;
}

// Returns a list that ends with NULL.
static const char **names_of(const dual_plugin_list_string_t *list) {
  const char **names = flowloom_allocate(list->len + 1, sizeof *names);
  for (size_t n = 0; n < list->len; n++) names[n] = flowloom_copied_text(&list->ptr[n]);
  return names;
}

static void free_names(const char *const *names) {
  for (size_t n = 0; names[n]; n++) free((void *)names[n]);
  free((void *)names);
}

static bool has(const char *const *names, const char *name) {
  for (; *names; names++)
    if (strcmp(*names, name) == 0) return true;
  return false;
}

bool flowloom_has_packet_field(const flowloom_available *available, const char *name) {
  return has(available->packet, name);
}

bool flowloom_has_flow_field(const flowloom_available *available, const char *name) {
  return has(available->flow, name);
}

static flowloom_options options_of(wit_options *given) {
  flowloom_options options = {flowloom_allocate(given->len, sizeof(char *)),
                              flowloom_allocate(given->len, sizeof(char *)),
                              flowloom_allocate(given->len, sizeof(bool)), given->len};
  for (size_t n = 0; n < given->len; n++) {
    options.keys[n] = flowloom_copied_text(&given->ptr[n].f0);
    options.values[n] = flowloom_copied_text(&given->ptr[n].f1);
  }
  return options;
}

static void answer_with(wit_manifest *answer) {
  const flowloom_manifest *manifest = &flowloom_opened;
  memset(answer, 0, sizeof *answer);
  dual_plugin_string_dup(&answer->version, manifest->version ? manifest->version : "");
  dual_plugin_string_dup(&answer->description, manifest->description ? manifest->description : "");
  answer->outputs.len = manifest->n_outputs;
  answer->outputs.ptr = flowloom_allocate(manifest->n_outputs, sizeof *answer->outputs.ptr);
  for (size_t n = 0; n < manifest->n_outputs; n++) {
    dual_plugin_string_dup(&answer->outputs.ptr[n].name, manifest->outputs[n].name);
    dual_plugin_string_dup(&answer->outputs.ptr[n].description, manifest->outputs[n].description);
    answer->outputs.ptr[n].kind = (uint8_t)manifest->outputs[n].type; // the same order
  }
  answer->options = flowloom_described_options();
  answer->packet = list_of(manifest->packet);
  answer->payload_bytes = manifest->payload_bytes;
  answer->packet_bytes = manifest->packet_bytes;
  answer->at_init = list_of(manifest->at_init);
  answer->at_update = list_of(manifest->at_update);
  answer->at_expire = list_of(manifest->at_expire);
  answer->packets_per_flow.is_some = manifest->packets_per_flow > 0;
  answer->packets_per_flow.val = manifest->packets_per_flow;
  size_t flow_bytes = flowloom_flow_size(manifest->cuts_flows);
  answer->flow_bytes = manifest->allocated_bytes > UINT32_MAX - flow_bytes
                           ? UINT32_MAX
                           : (uint32_t)(flow_bytes + manifest->allocated_bytes);
  answer->cuts_flows = manifest->cuts_flows;
  answer->needs_one_meter = manifest->needs_one_meter;
}

static bool open_plugin(wit_options *given, wit_available *offered, wit_manifest *answer,
                        dual_plugin_string_t *error) {
  flowloom_options options = options_of(given);
  const char **packet = names_of(&offered->packet), **flow = names_of(&offered->flow);
  flowloom_available available = {packet, flow, offered->payload_bytes, offered->packet_bytes};
  flowloom_plugin_manifest_options_free(given);
  flowloom_plugin_manifest_available_free(offered);

  const char *wrong = flowloom_open(&options, &available, &flowloom_opened);
  if (wrong == NULL) wrong = flowloom_check_options(&options);
  if (wrong == NULL && flowloom_opened.cuts_flows && !flowloom_cuts)
    wrong = "the manifest sets cuts_flows, but the plugin has no function flowloom_cuts";
  if (wrong) {
    dual_plugin_string_dup(error, wrong);
  } else {
    flowloom_set_state_size(flowloom_opened.state_size);
    flowloom_prepare_events();
    answer_with(answer);
  }
  free_names(packet);
  free_names(flow);
  free(options.keys);
  free(options.values);
  free(options.read);
  return wrong == NULL;
}

bool exports_flowloom_plugin_batch_feature_open(
    exports_flowloom_plugin_batch_feature_options_t *options,
    exports_flowloom_plugin_batch_feature_available_t *available,
    exports_flowloom_plugin_batch_feature_manifest_t *answer, dual_plugin_string_t *error) {
  return open_plugin(options, available, answer, error);
}

bool exports_flowloom_plugin_feature_open(exports_flowloom_plugin_feature_options_t *options,
                                          exports_flowloom_plugin_feature_available_t *available,
                                          exports_flowloom_plugin_feature_manifest_t *answer,
                                          dual_plugin_string_t *error) {
  return open_plugin(options, available, answer, error);
}

void exports_flowloom_plugin_batch_feature_finish(void) {
  flowloom_running = "finish";
  flowloom_finish();
  flowloom_flush_lines();
}

void exports_flowloom_plugin_feature_finish(void) { exports_flowloom_plugin_batch_feature_finish(); }
