// Log lines, and the texts and memory for them.

#include "internal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void flowloom_log(flowloom_level level, const char *line) {
  dual_plugin_string_t text = {(uint8_t *)line, strlen(line)};
  flowloom_plugin_log_write((flowloom_plugin_log_level_t)level, &text);
}

void *flowloom_allocated(void *memory, size_t size) {
  if (memory == NULL && size != 0) flowloom_stop(flowloom_event(), " failed: the plugin is out of memory", NULL);
  return memory;
}

void *flowloom_allocate(size_t count, size_t size) {
  return count == 0 || size == 0 ? NULL : flowloom_allocated(calloc(count, size), size);
}

const char *flowloom_join(const char *first, ...) {
  va_list pieces;
  size_t size = 1;
  va_start(pieces, first);
  for (const char *piece = first; piece; piece = va_arg(pieces, const char *)) size += strlen(piece);
  va_end(pieces);
  char *joined = flowloom_allocated(malloc(size), size), *end = joined;
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

const char *flowloom_integer_text(int64_t value) {
  char digits[24], *start = digits + sizeof digits;
  uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
  *--start = 0;
  do *--start = (char)('0' + rest % 10);
  while (rest /= 10);
  if (value < 0) *--start = '-';
  return flowloom_join(start, NULL);
}

const char *flowloom_copied_text(const dual_plugin_string_t *text) {
  char *copy = flowloom_allocated(malloc(text->len + 1), text->len + 1);
  if (text->len) memcpy(copy, text->ptr, text->len);
  copy[text->len] = 0;
  return copy;
}
