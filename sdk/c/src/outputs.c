// The outputs of flows that end: columns for a batch, values for a single event.

#include "internal.h"

#include <stdlib.h>
#include <string.h>

// The values of one output for the expired flows of a batch.
struct flowloom_output_column {
  uint8_t *valid;
  void *scalars;
  char *run; // concatenated bytes, integers or floats
  size_t run_size, run_room;
  uint32_t *ends;      // the end of each flow in `run`, in bytes; for lists of texts, in `text_ends`
  uint32_t *text_ends; // the end of each text in `run`
  size_t n_texts, texts_room;
};

// Where the value of an output belongs. One of them is NULL.
typedef struct {
  flowloom_output_column *column;
  flowloom_value *value;
} place;

void flowloom_begin_values(flowloom_outputs *outputs) {
  memset(outputs, 0, sizeof *outputs);
  outputs->values = flowloom_allocate(flowloom_opened.n_outputs, sizeof *outputs->values);
}

static size_t width(flowloom_type type) {
  switch (type) {
  case FLOWLOOM_BOOLEAN: return 1;
  case FLOWLOOM_INTEGER:
  case FLOWLOOM_FLOAT: return 8;
  default: return 0;
  }
}

void flowloom_begin_columns(flowloom_outputs *outputs, size_t rows) {
  memset(outputs, 0, sizeof *outputs);
  outputs->rows = rows;
  if (rows == 0) return;
  outputs->columns = flowloom_allocate(flowloom_opened.n_outputs, sizeof *outputs->columns);
  for (size_t n = 0; n < flowloom_opened.n_outputs; n++) {
    flowloom_output_column *column = &outputs->columns[n];
    size_t bytes = width(flowloom_opened.outputs[n].type);
    column->valid = flowloom_allocate(rows, 1);
    column->scalars = flowloom_allocate(rows, bytes);
    column->ends = bytes ? NULL : flowloom_allocate(rows, sizeof *column->ends);
  }
}

// Marks output n of the current flow as set, and returns where its value belongs.
static place set(flowloom_outputs *outputs, size_t n, flowloom_type type) {
  if (n >= flowloom_opened.n_outputs) flowloom_unknown_output(n);
  const flowloom_output *output = &flowloom_opened.outputs[n];
  if (output->type != type) flowloom_wrong_type(output, type);
  place place = {outputs->values ? NULL : &outputs->columns[n],
                 outputs->values ? &outputs->values[n] : NULL};
  if (place.value ? place.value->tag != EXPORTS_FLOWLOOM_PLUGIN_FEATURE_VALUE_NULL
                  : place.column->valid[outputs->row])
    flowloom_stop("expire set output `", output->name, "` twice for one flow", NULL);
  // The cases of `value` have the order of the types, after null.
  if (place.value) place.value->tag = (uint8_t)(type + 1);
  else place.column->valid[outputs->row] = 1;
  return place;
}

void flowloom_set_boolean(flowloom_outputs *outputs, size_t n, bool value) {
  place place = set(outputs, n, FLOWLOOM_BOOLEAN);
  if (place.value) place.value->val.boolean = value;
  else ((uint8_t *)place.column->scalars)[outputs->row] = value;
}

void flowloom_set_integer(flowloom_outputs *outputs, size_t n, int64_t value) {
  place place = set(outputs, n, FLOWLOOM_INTEGER);
  if (place.value) place.value->val.integer = value;
  else ((int64_t *)place.column->scalars)[outputs->row] = value;
}

void flowloom_set_float(flowloom_outputs *outputs, size_t n, double value) {
  place place = set(outputs, n, FLOWLOOM_FLOAT);
  if (place.value) place.value->val.float_ = value;
  else ((double *)place.column->scalars)[outputs->row] = value;
}

static void *copy(const void *data, size_t size) {
  void *copied = flowloom_allocate(size, 1);
  return size ? memcpy(copied, data, size) : NULL;
}

static void append(flowloom_output_column *column, const void *data, size_t size) {
  size_t needed = column->run_size + size;
  if (needed > column->run_room) {
    column->run_room = 2 * needed;
    column->run = flowloom_allocated(realloc(column->run, column->run_room), column->run_room);
  }
  if (size) memcpy(column->run + column->run_size, data, size);
  column->run_size = needed;
}

// Sets an output that is a sequence of `size` elements. The lists and texts of the contract have the same
// layout.
static void set_run(flowloom_outputs *outputs, size_t n, flowloom_type type, const void *data,
                    size_t size, size_t element) {
  place place = set(outputs, n, type);
  if (place.value) {
    place.value->val.bytes.ptr = copy(data, size * element);
    place.value->val.bytes.len = size;
  } else {
    append(place.column, data, size * element);
    place.column->ends[outputs->row] = (uint32_t)place.column->run_size;
  }
}

void flowloom_set_text(flowloom_outputs *outputs, size_t n, const char *text, size_t size) {
  set_run(outputs, n, FLOWLOOM_TEXT, text, size, 1);
}

void flowloom_set_bytes(flowloom_outputs *outputs, size_t n, const void *data, size_t size) {
  set_run(outputs, n, FLOWLOOM_BYTES, data, size, 1);
}

void flowloom_set_json(flowloom_outputs *outputs, size_t n, const char *text, size_t size) {
  set_run(outputs, n, FLOWLOOM_JSON, text, size, 1);
}

void flowloom_set_integers(flowloom_outputs *outputs, size_t n, const int64_t *data, size_t size) {
  set_run(outputs, n, FLOWLOOM_INTEGERS, data, size, sizeof *data);
}

void flowloom_set_floats(flowloom_outputs *outputs, size_t n, const double *data, size_t size) {
  set_run(outputs, n, FLOWLOOM_FLOATS, data, size, sizeof *data);
}

static void append_text(flowloom_output_column *column, flowloom_bytes text) {
  append(column, text.data, text.size);
  if (column->n_texts == column->texts_room) {
    column->texts_room = 2 * column->texts_room + 16;
    size_t size = column->texts_room * sizeof *column->text_ends;
    column->text_ends = flowloom_allocated(realloc(column->text_ends, size), size);
  }
  column->text_ends[column->n_texts++] = (uint32_t)column->run_size;
}

void flowloom_set_texts(flowloom_outputs *outputs, size_t n, const flowloom_bytes *texts, size_t size) {
  place place = set(outputs, n, FLOWLOOM_TEXTS);
  if (place.value) {
    dual_plugin_list_string_t list = {flowloom_allocate(size, sizeof *list.ptr), size};
    for (size_t text = 0; text < size; text++) {
      list.ptr[text].ptr = copy(texts[text].data, texts[text].size);
      list.ptr[text].len = texts[text].size;
    }
    place.value->val.texts = list;
  } else {
    for (size_t text = 0; text < size; text++) append_text(place.column, texts[text]);
    place.column->ends[outputs->row] = (uint32_t)place.column->n_texts;
  }
}

// Completes the ends: a flow without a value has the end of the flow before. Converts ends from bytes to
// elements.
static void finish_ends(flowloom_output_column *column, size_t rows, size_t element) {
  uint32_t last = 0;
  for (size_t row = 0; row < rows; row++) {
    if (!column->valid[row]) column->ends[row] = last;
    last = column->ends[row];
  }
  for (size_t row = 0; row < rows; row++) column->ends[row] /= (uint32_t)element;
}

void flowloom_end_columns(flowloom_outputs *outputs,
                          exports_flowloom_plugin_batch_feature_list_output_column_t *answer) {
  size_t rows = outputs->rows;
  answer->len = rows ? flowloom_opened.n_outputs : 0;
  answer->ptr = flowloom_allocate(answer->len, sizeof *answer->ptr);
  for (size_t n = 0; n < answer->len; n++) {
    flowloom_output_column *column = &outputs->columns[n];
    flowloom_type type = flowloom_opened.outputs[n].type;
    exports_flowloom_plugin_batch_feature_values_t *to = &answer->ptr[n].values;
    size_t element = type == FLOWLOOM_INTEGERS || type == FLOWLOOM_FLOATS ? 8 : 1;
    dual_plugin_list_u32_t ends = {column->ends, rows};
    if (column->ends) finish_ends(column, rows, element);
    to->tag = (uint8_t)type; // both enumerations have the same order
    switch (type) {
    case FLOWLOOM_BOOLEAN:
      to->val.booleans.ptr = column->scalars;
      to->val.booleans.len = rows;
      break;
    case FLOWLOOM_INTEGER:
      to->val.integers.ptr = column->scalars;
      to->val.integers.len = rows;
      break;
    case FLOWLOOM_FLOAT:
      to->val.floats.ptr = column->scalars;
      to->val.floats.len = rows;
      break;
    case FLOWLOOM_INTEGERS:
      to->val.integer_lists.values.ptr = (int64_t *)column->run;
      to->val.integer_lists.values.len = column->run_size / element;
      to->val.integer_lists.ends = ends;
      break;
    case FLOWLOOM_FLOATS:
      to->val.float_lists.values.ptr = (double *)column->run;
      to->val.float_lists.values.len = column->run_size / element;
      to->val.float_lists.ends = ends;
      break;
    case FLOWLOOM_TEXTS:
      to->val.text_lists.texts.bytes.ptr = (uint8_t *)column->run;
      to->val.text_lists.texts.bytes.len = column->run_size;
      to->val.text_lists.texts.ends.ptr = column->text_ends;
      to->val.text_lists.texts.ends.len = column->n_texts;
      to->val.text_lists.ends = ends;
      break;
    default:
      to->val.texts.bytes.ptr = (uint8_t *)column->run;
      to->val.texts.bytes.len = column->run_size;
      to->val.texts.ends = ends;
    }
    answer->ptr[n].valid.ptr = column->valid;
    answer->ptr[n].valid.len = rows;
  }
  free(outputs->columns);
}
