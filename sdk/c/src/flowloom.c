// Splits batches of events, and calls the functions of the plugin once per event.

#include "../include/flowloom.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

typedef exports_flowloom_plugin_batch_feature_batch_t batch;
typedef exports_flowloom_plugin_batch_feature_list_output_column_t output_columns;
typedef exports_flowloom_plugin_batch_feature_values_t values;

enum { INIT, UPDATE, EXPIRE };

// The number of states per block. States are allocated in blocks, so that their addresses never change.
enum { BLOCK = 1024 };

struct flowloom_options {
  const char **keys;
  const char **values;
  bool *read;
  size_t size;
};

// The values of one output for the expired flows of a batch.
typedef struct {
  uint8_t *valid;
  void *scalars;
  char *run; // concatenated bytes, integers or floats
  size_t run_size, run_room;
  uint32_t *ends;
} output;

struct flowloom_outputs {
  output *columns;
  size_t row;
  size_t rows;
};

static flowloom_manifest manifest;
static const char *known_options; // the options that the plugin read; the error about others lists them
static char **blocks;
static size_t n_blocks;

// Ends the instance if an allocation failed.
static void *allocated(void *memory) {
  if (memory == NULL) flowloom_fail("the plugin is out of memory");
  return memory;
}

static void *allocate(size_t count, size_t size) {
  return count == 0 || size == 0 ? NULL : allocated(calloc(count, size));
}

void flowloom_log(flowloom_level level, const char *line) {
  batch_plugin_string_t text = {(uint8_t *)line, strlen(line)};
  flowloom_plugin_log_write((flowloom_plugin_log_level_t)level, &text);
}

FLOWLOOM_NORETURN void flowloom_fail(const char *why) {
  flowloom_log(FLOWLOOM_ERROR, why);
  __builtin_trap();
}

const char *flowloom_join(const char *first, ...) {
  va_list pieces;
  size_t size = 1;
  va_start(pieces, first);
  for (const char *piece = first; piece; piece = va_arg(pieces, const char *)) size += strlen(piece);
  va_end(pieces);
  char *joined = allocated(malloc(size)), *end = joined;
  va_start(pieces, first);
  for (const char *piece = first; piece; piece = va_arg(pieces, const char *)) {
    size_t length = strlen(piece);
    memcpy(end, piece, length);
    end += length;
  }
  va_end(pieces);
  *end = 0;
  return joined;
}

static const char *number(int64_t value) {
  char digits[24], *start = digits + sizeof digits;
  uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
  *--start = 0;
  do *--start = (char)('0' + rest % 10);
  while (rest /= 10);
  if (value < 0) *--start = '-';
  return flowloom_join(start, NULL);
}

FLOWLOOM_NORETURN void flowloom_wrong_field(const flowloom_row *row, size_t field) {
  flowloom_fail(field < row->n_columns
                    ? flowloom_join("field ", number((int64_t)field), " was read as another type", NULL)
                    : flowloom_join("field ", number((int64_t)field), " was not requested", NULL));
}

// Options

const char *flowloom_option(const flowloom_options *options, const char *key) {
  known_options = known_options ? flowloom_join(known_options, ", `", key, "`", NULL)
                                : flowloom_join("`", key, "`", NULL);
  for (size_t n = 0; n < options->size; n++) {
    if (strcmp(options->keys[n], key) != 0) continue;
    options->read[n] = true;
    return options->values[n];
  }
  return NULL;
}

const char *flowloom_integer_option(const flowloom_options *options, const char *key, int64_t least,
                                    int64_t most, int64_t *value) {
  const char *given = flowloom_option(options, key);
  if (given == NULL) return NULL;
  const char *digit = given + (*given == '-');
  uint64_t read = 0;
  bool is_number = *digit != 0;
  for (; *digit && is_number; digit++) {
    is_number = *digit >= '0' && *digit <= '9' && read < INT64_MAX / 10;
    read = read * 10 + (uint64_t)(*digit - '0');
  }
  int64_t integer = *given == '-' ? -(int64_t)read : (int64_t)read;
  if (!is_number || integer < least || integer > most)
    return flowloom_join("option `", key, "` must be an integer from ", number(least), " to ",
                         number(most), ", not \"", given, "\"", NULL);
  *value = integer;
  return NULL;
}

// Returns an error if an option was given twice or was not read, and NULL otherwise.
static const char *check(const flowloom_options *options) {
  const char *accepted = known_options ? known_options : "no options";
  for (size_t n = 0; n < options->size; n++) {
    for (size_t earlier = 0; earlier < n; earlier++)
      if (strcmp(options->keys[n], options->keys[earlier]) == 0)
        return flowloom_join("option `", options->keys[n], "` is given twice", NULL);
    if (!options->read[n])
      return flowloom_join("unknown option `", options->keys[n], "`; this plugin accepts ", accepted,
                           NULL);
  }
  return NULL;
}

// Opening

static size_t count(const char *const *names) {
  size_t size = 0;
  while (names && names[size]) size++;
  return size;
}

static batch_plugin_list_string_t names(const char *const *from) {
  batch_plugin_list_string_t list = {allocate(count(from), sizeof *list.ptr), count(from)};
  for (size_t n = 0; n < list.len; n++) batch_plugin_string_dup(&list.ptr[n], from[n]);
  return list;
}

static const char *terminated(const batch_plugin_string_t *text) {
  char *copy = allocated(malloc(text->len + 1));
  if (text->len) memcpy(copy, text->ptr, text->len);
  copy[text->len] = 0;
  return copy;
}

bool exports_flowloom_plugin_batch_feature_open(
    exports_flowloom_plugin_batch_feature_options_t *given,
    exports_flowloom_plugin_batch_feature_manifest_t *answer, batch_plugin_string_t *error) {
  flowloom_options options = {allocate(given->len, sizeof(char *)),
                              allocate(given->len, sizeof(char *)),
                              allocate(given->len, sizeof(bool)), given->len};
  for (size_t n = 0; n < given->len; n++) {
    options.keys[n] = terminated(&given->ptr[n].f0);
    options.values[n] = terminated(&given->ptr[n].f1);
  }
  exports_flowloom_plugin_batch_feature_options_free(given);

  const char *wrong = flowloom_open(&options, &manifest);
  if (wrong == NULL) wrong = check(&options);
  if (wrong) {
    batch_plugin_string_dup(error, wrong);
    return false;
  }
  memset(answer, 0, sizeof *answer);
  batch_plugin_string_dup(&answer->version, manifest.version ? manifest.version : "");
  batch_plugin_string_dup(&answer->description, manifest.description ? manifest.description : "");
  answer->outputs.len = manifest.n_outputs;
  answer->outputs.ptr = allocate(manifest.n_outputs, sizeof *answer->outputs.ptr);
  for (size_t n = 0; n < manifest.n_outputs; n++) {
    batch_plugin_string_dup(&answer->outputs.ptr[n].name, manifest.outputs[n].name);
    batch_plugin_string_dup(&answer->outputs.ptr[n].description, manifest.outputs[n].description);
    answer->outputs.ptr[n].kind = (uint8_t)manifest.outputs[n].type;
  }
  answer->packet = names(manifest.packet);
  answer->payload_bytes = manifest.payload_bytes;
  answer->packet_bytes = manifest.packet_bytes;
  answer->at_init = names(manifest.at_init);
  answer->at_update = names(manifest.at_update);
  answer->at_expire = names(manifest.at_expire);
  answer->packets_per_flow.is_some = manifest.packets_per_flow > 0;
  answer->packets_per_flow.val = manifest.packets_per_flow;
  answer->needs_one_meter = manifest.needs_one_meter;
  return true;
}

// Events

static inline void *state_of(uint32_t slot) {
  return blocks[slot / BLOCK] + slot % BLOCK * manifest.state_size;
}

static void *fresh_state(uint32_t slot) {
  while (slot / BLOCK >= n_blocks) {
    // The capacity is the next power of two, so it is exhausted if the size is a power of two.
    if ((n_blocks & (n_blocks - 1)) == 0)
      blocks = allocated(realloc(blocks, (n_blocks ? 2 * n_blocks : 1) * sizeof *blocks));
    blocks[n_blocks++] = allocated(malloc(BLOCK * manifest.state_size + 1));
  }
  void *state = state_of(slot);
  if (manifest.state_size) memset(state, 0, manifest.state_size);
  return state;
}

static flowloom_row first_row(const exports_flowloom_plugin_batch_feature_list_column_t *columns) {
  flowloom_row row = {columns->ptr, columns->len, 0, NULL, NULL};
  return row;
}

static void begin(flowloom_outputs *outputs, size_t rows);
static void end(flowloom_outputs *outputs, output_columns *answer);

void exports_flowloom_plugin_batch_feature_process(batch *events, output_columns *answer) {
  const uint32_t *slots = events->slots.val.u32s.ptr;
  size_t expires = 0;
  for (size_t n = 0; n < events->kinds.len; n++) expires += events->kinds.ptr[n] == EXPIRE;

  flowloom_packet packet = first_row(&events->packets);
  packet.payload = &events->payload;
  packet.bytes = &events->bytes;
  flowloom_flow opened = first_row(&events->opened);
  flowloom_flow updated = first_row(&events->updated);
  flowloom_flow expired = first_row(&events->expired);
  flowloom_outputs outputs;
  begin(&outputs, expires);
  for (size_t n = 0; n < events->kinds.len; n++) {
    switch (events->kinds.ptr[n]) {
    case UPDATE:
      flowloom_update(state_of(slots[n]), &packet, &updated);
      packet.row++;
      updated.row++;
      break;
    case INIT:
      flowloom_init(fresh_state(slots[n]), &packet, &opened);
      packet.row++;
      opened.row++;
      break;
    case EXPIRE:
      flowloom_expire(state_of(slots[n]), &expired, &outputs);
      expired.row++;
      outputs.row++;
      break;
    default:
      flowloom_fail("Flowloom gave an event of unknown kind");
    }
  }
  end(&outputs, answer);
  exports_flowloom_plugin_batch_feature_batch_free(events);
}

void exports_flowloom_plugin_batch_feature_finish(void) { flowloom_finish(); }

// Outputs

static size_t width(flowloom_type type) {
  switch (type) {
  case FLOWLOOM_BOOLEAN: return 1;
  case FLOWLOOM_INTEGER:
  case FLOWLOOM_FLOAT: return 8;
  default: return 0;
  }
}

static void begin(flowloom_outputs *outputs, size_t rows) {
  outputs->row = 0;
  outputs->rows = rows;
  outputs->columns = rows ? allocate(manifest.n_outputs, sizeof *outputs->columns) : NULL;
  for (size_t n = 0; rows && n < manifest.n_outputs; n++) {
    output *column = &outputs->columns[n];
    size_t bytes = width(manifest.outputs[n].type);
    column->valid = allocate(rows, 1);
    column->scalars = allocate(rows, bytes);
    column->ends = bytes ? NULL : allocate(rows, sizeof *column->ends);
  }
}

// Marks output n of the current flow as set, and returns its column.
static output *set(flowloom_outputs *outputs, size_t n, flowloom_type type) {
  if (n >= manifest.n_outputs)
    flowloom_fail(flowloom_join("output ", number((int64_t)n), " is not declared", NULL));
  if (manifest.outputs[n].type != type)
    flowloom_fail(flowloom_join("output `", manifest.outputs[n].name, "` was set to another type", NULL));
  output *column = &outputs->columns[n];
  if (column->valid[outputs->row])
    flowloom_fail(flowloom_join("output `", manifest.outputs[n].name, "` was set twice", NULL));
  column->valid[outputs->row] = 1;
  return column;
}

void flowloom_set_boolean(flowloom_outputs *outputs, size_t n, bool value) {
  ((uint8_t *)set(outputs, n, FLOWLOOM_BOOLEAN)->scalars)[outputs->row] = value;
}

void flowloom_set_integer(flowloom_outputs *outputs, size_t n, int64_t value) {
  ((int64_t *)set(outputs, n, FLOWLOOM_INTEGER)->scalars)[outputs->row] = value;
}

void flowloom_set_float(flowloom_outputs *outputs, size_t n, double value) {
  ((double *)set(outputs, n, FLOWLOOM_FLOAT)->scalars)[outputs->row] = value;
}

static void set_run(output *column, size_t row, const void *data, size_t size) {
  size_t needed = column->run_size + size;
  if (needed > column->run_room) {
    column->run_room = 2 * needed;
    column->run = allocated(realloc(column->run, column->run_room));
  }
  if (size) memcpy(column->run + column->run_size, data, size);
  column->run_size = needed;
  column->ends[row] = (uint32_t)needed;
}

void flowloom_set_bytes(flowloom_outputs *outputs, size_t n, const void *data, size_t size) {
  flowloom_type type = n < manifest.n_outputs ? manifest.outputs[n].type : FLOWLOOM_BYTES;
  bool is_bytes = type == FLOWLOOM_TEXT || type == FLOWLOOM_JSON;
  set_run(set(outputs, n, is_bytes ? type : FLOWLOOM_BYTES), outputs->row, data, size);
}

void flowloom_set_integers(flowloom_outputs *outputs, size_t n, const int64_t *data, size_t size) {
  set_run(set(outputs, n, FLOWLOOM_INTEGERS), outputs->row, data, size * sizeof *data);
}

void flowloom_set_floats(flowloom_outputs *outputs, size_t n, const double *data, size_t size) {
  set_run(set(outputs, n, FLOWLOOM_FLOATS), outputs->row, data, size * sizeof *data);
}

// Completes the ends: a flow without a value has the end of the flow before. Converts ends from bytes to
// elements.
static void finish_ends(output *column, size_t rows, size_t element) {
  uint32_t last = 0;
  for (size_t row = 0; row < rows; row++) {
    if (!column->valid[row]) column->ends[row] = last;
    last = column->ends[row];
  }
  for (size_t row = 0; row < rows; row++) column->ends[row] /= (uint32_t)element;
}

static void end(flowloom_outputs *outputs, output_columns *answer) {
  size_t rows = outputs->rows;
  answer->len = rows ? manifest.n_outputs : 0;
  answer->ptr = allocate(answer->len, sizeof *answer->ptr);
  for (size_t n = 0; n < answer->len; n++) {
    output *column = &outputs->columns[n];
    flowloom_type type = manifest.outputs[n].type;
    values *to = &answer->ptr[n].values;
    size_t element = type == FLOWLOOM_INTEGERS || type == FLOWLOOM_FLOATS ? 8 : 1;
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
      to->val.integer_lists.ends.ptr = column->ends;
      to->val.integer_lists.ends.len = rows;
      break;
    case FLOWLOOM_FLOATS:
      to->val.float_lists.values.ptr = (double *)column->run;
      to->val.float_lists.values.len = column->run_size / element;
      to->val.float_lists.ends.ptr = column->ends;
      to->val.float_lists.ends.len = rows;
      break;
    default:
      to->val.texts.bytes.ptr = (uint8_t *)column->run;
      to->val.texts.bytes.len = column->run_size;
      to->val.texts.ends.ptr = column->ends;
      to->val.texts.ends.len = rows;
    }
    answer->ptr[n].valid.ptr = column->valid;
    answer->ptr[n].valid.len = rows;
  }
  free(outputs->columns);
}
