// Reads and describes the options that the operator gave.

#include "internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  BOOLEAN = FLOWLOOM_PLUGIN_MANIFEST_OPTION_TYPE_BOOLEAN,
  INTEGER = FLOWLOOM_PLUGIN_MANIFEST_OPTION_TYPE_INTEGER,
  FLOAT = FLOWLOOM_PLUGIN_MANIFEST_OPTION_TYPE_FLOAT,
  TEXT = FLOWLOOM_PLUGIN_MANIFEST_OPTION_TYPE_TEXT,
};

// An option that the plugin read.
struct description {
  const char *key;
  const char *accepts;
  const char *by_default; // empty if the option is optional, NULL if it is required
  const char *text;
  uint8_t type;
};

static struct description *described;
static size_t n_described;

// Describes an option. Returns its value, or NULL if the operator did not give it.
static const char *read_option(const flowloom_options *options, const char *key, uint8_t type,
                               const char *accepts, const char *by_default, const char *text) {
  size_t size = (n_described + 1) * sizeof *described;
  described = flowloom_allocated(realloc(described, size), size);
  struct description description = {key, accepts, by_default, text, type};
  described[n_described++] = description;
  for (size_t n = 0; n < options->size; n++) {
    if (strcmp(options->keys[n], key) != 0) continue;
    options->read[n] = true;
    return options->values[n];
  }
  return NULL;
}

static const char *wrong(const char *key, const char *accepts, const char *given) {
  return flowloom_join("option `", key, "` must be ", accepts, ", not \"", given, "\"", NULL);
}

const char *flowloom_boolean_option(const flowloom_options *options, const char *key,
                                    const char *description, bool *value) {
  const char *accepts = "true or false";
  const char *given = read_option(options, key, BOOLEAN, accepts, *value ? "true" : "false", description);
  if (given == NULL) return NULL;
  bool is_true = strcmp(given, "true") == 0;
  if (!is_true && strcmp(given, "false") != 0) return wrong(key, accepts, given);
  *value = is_true;
  return NULL;
}

static bool parse_integer(const char *text, int64_t *value) {
  bool is_negative = *text == '-';
  const char *digit = text + is_negative;
  uint64_t most = (uint64_t)INT64_MAX + is_negative, read = 0;
  if (*digit == 0) return false;
  for (; *digit; digit++) {
    if (*digit < '0' || *digit > '9') return false;
    uint64_t ones = (uint64_t)(*digit - '0');
    if (read > (most - ones) / 10) return false;
    read = read * 10 + ones;
  }
  *value = (int64_t)(is_negative ? 0 - read : read);
  return true;
}

const char *flowloom_integer_option(const flowloom_options *options, const char *key, int64_t least,
                                    int64_t most, const char *description, int64_t *value) {
  const char *accepts = flowloom_join("an integer from ", flowloom_integer_text(least), " to ",
                                      flowloom_integer_text(most), NULL);
  const char *given =
      read_option(options, key, INTEGER, accepts, flowloom_integer_text(*value), description);
  int64_t read;
  if (given == NULL) return NULL;
  if (!parse_integer(given, &read) || read < least || read > most) return wrong(key, accepts, given);
  *value = read;
  return NULL;
}

// Returns the shortest text that is read as the same number.
static const char *float_text(double value) {
  char text[32];
  for (int digits = 1; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, value);
    if (strtod(text, NULL) == value) break;
  }
  return flowloom_join(text, NULL);
}

const char *flowloom_float_option(const flowloom_options *options, const char *key, double least,
                                  double most, const char *description, double *value) {
  const char *accepts =
      flowloom_join("a number", least > -INFINITY ? " from " : "", least > -INFINITY ? float_text(least) : "",
                    most < INFINITY ? " to " : "", most < INFINITY ? float_text(most) : "", NULL);
  const char *given = read_option(options, key, FLOAT, accepts, float_text(*value), description);
  if (given == NULL) return NULL;
  char *end;
  // Without this check, strtod also accepts hexadecimal numbers, infinities, NaN and spaces.
  bool is_decimal = *given != 0 && given[strspn(given, "0123456789+-.eE")] == 0;
  double read = strtod(given, &end);
  if (!is_decimal || *end || isinf(read) || !(read >= least && read <= most))
    return wrong(key, accepts, given);
  *value = read;
  return NULL;
}

const char *flowloom_text_option(const flowloom_options *options, const char *key, const char *accepts,
                                 const char *description, const char **value) {
  const char *given = read_option(options, key, TEXT, accepts, *value ? *value : "", description);
  if (given) *value = given;
  return NULL;
}

// Lists the options that the plugin read, in one line.
static const char *accepted(void) {
  const char *line = n_described ? "this plugin accepts" : "this plugin accepts no options";
  for (size_t n = 0; n < n_described; n++) {
    const struct description *option = &described[n];
    const char *by_default = option->by_default == NULL ? ", required"
                             : *option->by_default == 0 ? ", optional"
                                                        : ", default ";
    size_t length = strlen(option->text);
    while (length && option->text[length - 1] == '.') length--;
    dual_plugin_string_t sentence = {(uint8_t *)option->text, length};
    line = flowloom_join(line, n ? "; `" : " `", option->key, "` (", option->accepts, by_default,
                         option->by_default ? option->by_default : "", "): ",
                         flowloom_copied_text(&sentence), NULL);
  }
  return line;
}

const char *flowloom_require(const flowloom_options *options, const char *key) {
  for (size_t n = 0; n < n_described; n++)
    if (strcmp(described[n].key, key) == 0) described[n].by_default = NULL;
  for (size_t n = 0; n < options->size; n++)
    if (strcmp(options->keys[n], key) == 0) return NULL;
  return flowloom_join("option `", key, "` is missing; ", accepted(), NULL);
}

const char *flowloom_check_options(const flowloom_options *options) {
  for (size_t n = 0; n < options->size; n++) {
    if (!options->read[n])
      return flowloom_join("unknown option `", options->keys[n], "`; ", accepted(), NULL);
    for (size_t earlier = 0; earlier < n; earlier++)
      if (strcmp(options->keys[n], options->keys[earlier]) == 0)
        return flowloom_join("option `", options->keys[n], "` is given twice", NULL);
  }
  return NULL;
}

flowloom_option_descriptions flowloom_described_options(void) {
  flowloom_option_descriptions list = {flowloom_allocate(n_described, sizeof *list.ptr), n_described};
  for (size_t n = 0; n < n_described; n++) {
    const struct description *from = &described[n];
    dual_plugin_string_dup(&list.ptr[n].name, from->key);
    dual_plugin_string_dup(&list.ptr[n].accepts, from->accepts);
    dual_plugin_string_dup(&list.ptr[n].description, from->text);
    list.ptr[n].kind = from->type;
    list.ptr[n].default_.is_some = from->by_default != NULL;
    if (from->by_default) dual_plugin_string_dup(&list.ptr[n].default_.val, from->by_default);
  }
  return list;
}
