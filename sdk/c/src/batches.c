// Splits batches of events, and calls the functions of the plugin once per event.

#include "internal.h"

enum { INIT, UPDATE, EXPIRE };

// The batch that runs, and the rows of the current event.
static const exports_flowloom_plugin_batch_feature_batch_t *batch;
static flowloom_packet packet;
static flowloom_flow opened, updated, expired;

// An event is counted by its row when it is complete. Storing the event itself would cost time for each event.
const char *flowloom_event_of_batch(void) {
  size_t n = packet.row + expired.row;
  uint8_t kind = n < batch->kinds.len ? batch->kinds.ptr[n] : EXPIRE;
  return kind == INIT ? "init" : kind == UPDATE ? "update" : "expire";
}

static flowloom_row first_row(const exports_flowloom_plugin_batch_feature_list_column_t *columns) {
  flowloom_row row = {columns->ptr, columns->len, 0, NULL, NULL};
  return row;
}

void exports_flowloom_plugin_batch_feature_process(
    exports_flowloom_plugin_batch_feature_batch_t *events,
    exports_flowloom_plugin_batch_feature_list_output_column_t *answer) {
  const uint32_t *slots = events->slots.val.u32s.ptr;
  size_t expires = 0;
  for (size_t n = 0; n < events->kinds.len; n++) expires += events->kinds.ptr[n] == EXPIRE;

  flowloom_running = NULL;
  batch = events;
  packet = first_row(&events->packets);
  packet.payload = &events->payload;
  packet.bytes = &events->bytes;
  opened = first_row(&events->opened);
  updated = first_row(&events->updated);
  expired = first_row(&events->expired);
  flowloom_outputs outputs;
  flowloom_begin_columns(&outputs, expires);
  for (size_t n = 0; n < events->kinds.len; n++) {
    switch (events->kinds.ptr[n]) {
    case UPDATE:
      flowloom_update(flowloom_state_of_slot(slots[n]), &packet, &updated);
      packet.row++;
      updated.row++;
      break;
    case INIT:
      flowloom_init(flowloom_state_for_slot(slots[n]), &packet, &opened);
      packet.row++;
      opened.row++;
      break;
    case EXPIRE:
      flowloom_expire(flowloom_state_of_slot(slots[n]), &expired, &outputs);
      expired.row++;
      outputs.row++;
      break;
    default:
      flowloom_stop("Flowloom gave an event of unknown kind", NULL);
    }
  }
  flowloom_end_columns(&outputs, answer);
  exports_flowloom_plugin_batch_feature_batch_free(events);
}
