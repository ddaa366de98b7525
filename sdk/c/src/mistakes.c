// Explains the mistakes of a plugin's author, and ends the instance.

#include "internal.h"

#include <stdarg.h>

const char *flowloom_running = "open";

const char *flowloom_event(void) { return flowloom_running ? flowloom_running : flowloom_event_of_batch(); }

FLOWLOOM_NORETURN void flowloom_stop(const char *first, ...) {
  // The plugin may be out of memory, so the line is in static memory.
  static char line[1024];
  size_t size = 0;
  va_list pieces;
  va_start(pieces, first);
  for (const char *piece = first; piece; piece = va_arg(pieces, const char *))
    while (*piece && size < sizeof line - 1) line[size++] = *piece++;
  va_end(pieces);
  line[size] = 0;
  flowloom_flush_lines();
  flowloom_log(FLOWLOOM_ERROR, line);
  __builtin_trap();
}

const char *flowloom_file_name(const char *path) {
  const char *name = path;
  for (; *path; path++)
    if (*path == '/' || *path == '\\') name = path + 1;
  return name;
}

FLOWLOOM_NORETURN void flowloom_fail_at(const char *why, const char *function, const char *file, int line) {
  flowloom_stop(flowloom_event(), " failed: ", why, " (", function, ", ", flowloom_file_name(file), ":",
                flowloom_integer_text(line), ")", NULL);
}

// The names in a list that ends with NULL, with their indexes.
static const char *listed(const char *const *names) {
  const char *list = "";
  for (size_t n = 0; names[n]; n++)
    list = flowloom_join(list, n ? ", `" : "`", names[n], "` (", flowloom_integer_text((int64_t)n), ")", NULL);
  return list;
}

// The list of the manifest that requests the fields of a row.
typedef struct {
  const char *kind; // of the fields
  const char *name;
  const char *const *fields; // NULL if it requests none
} request;

static request request_of(const flowloom_row *row) {
  const flowloom_manifest *manifest = &flowloom_opened;
  request packet = {"packet", "packet", manifest->packet}, init = {"flow", "at_init", manifest->at_init},
          update = {"flow", "at_update", manifest->at_update}, expire = {"flow", "at_expire", manifest->at_expire};
  if (row->payload) return packet; // only the rows of packets have it
  char event = *flowloom_event();
  return event == 'i' ? init : event == 'u' ? update : expire;
}

static const char *type_of(const flowloom_column_of_rows *column) {
  switch (column->tag) {
  case EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_U8S: return "an unsigned integer or a boolean";
  case EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_S64S: return "a signed integer";
  case EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_F64S: return "a float";
  case EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_TEXTS: return "a text";
  case EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_INTEGER_LISTS: return "a list of integers";
  case FLOWLOOM_COLUMN_INTEGER: return *column->val.s64s.ptr < 0 ? "a negative integer" : "an integer";
  default: return "an unsigned integer";
  }
}

FLOWLOOM_NORETURN void flowloom_wrong_field(const flowloom_row *row, size_t field, const char *type) {
  request from = request_of(row);
  const char *index = flowloom_integer_text((int64_t)field), *event = flowloom_event();
  if (field < row->n_columns)
    flowloom_stop(event, " read ", from.kind, " field `", from.fields[field], "` (", index, " in `", from.name,
                  "`) as ", type, ", but it is ", type_of(&row->columns[field]), NULL);
  const char *requested = from.fields && from.fields[0] ? listed(from.fields) : "no field";
  flowloom_stop(event, " read ", from.kind, " field ", index, ", but `", from.name, "` of the manifest requests ",
                requested, "; add the name of the field to `", from.name, "`", NULL);
}

int64_t flowloom_any_integer(const flowloom_row *row, size_t field, bool is_signed) {
  const flowloom_column_of_rows *column = &row->columns[field];
  if (column->tag != FLOWLOOM_COLUMN_INTEGER || (!is_signed && *column->val.s64s.ptr < 0))
    flowloom_wrong_field(row, field, is_signed ? "a signed integer" : "an unsigned integer");
  return *column->val.s64s.ptr;
}

// The names of the types, in the order of flowloom_type.
static const char *const TYPES[] = {"boolean",  "integer", "float", "text", "bytes",
                                    "integers", "floats",  "texts", "json"};

FLOWLOOM_NORETURN void flowloom_wrong_type(const flowloom_output *output, flowloom_type type) {
  flowloom_stop("expire set output `", output->name, "` to a value of type ", TYPES[type],
                ", but the manifest declares it as ", TYPES[output->type], NULL);
}

FLOWLOOM_NORETURN void flowloom_unknown_output(size_t n) {
  size_t size = flowloom_opened.n_outputs;
  const char **names = flowloom_allocate(size + 1, sizeof *names);
  for (size_t known = 0; known < size; known++) names[known] = flowloom_opened.outputs[known].name;
  flowloom_stop("expire set output ", flowloom_integer_text((int64_t)n), ", but the manifest declares ",
                size ? listed(names) : "no outputs; set `n_outputs`", NULL);
}
