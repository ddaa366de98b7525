// What a plugin writes to stdout and stderr becomes lines of Flowloom's log. This file replaces the functions of
// WASI that the C library needs for it; a plugin must not import WASI. The linker removes those that are not
// used.

#include "internal.h"

#include <errno.h>
#include <string.h>

#ifdef __wasm__

enum { STDOUT = 1, STDERR = 2 };

// The start of a line. A longer line is logged in parts.
static struct line {
  char text[1024];
  size_t size;
} lines[2];

static void flush_line(int file) {
  struct line *line = &lines[file - STDOUT];
  dual_plugin_string_t text = {(uint8_t *)line->text, line->size};
  if (line->size == 0) return;
  line->size = 0;
  flowloom_plugin_log_write(file == STDERR ? FLOWLOOM_WARN : FLOWLOOM_INFO, &text);
}

// The function of musl that flushes all files. Not NULL if the plugin uses stdio.
void __stdio_exit(void) __attribute__((weak));

void flowloom_flush_lines(void) {
  if (__stdio_exit) __stdio_exit();
  flush_line(STDOUT);
  flush_line(STDERR);
}

// The functions of WASI preview 1 return one of these.
enum { SUCCESS = 0, BADF = 8, SPIPE = 70 };

typedef struct {
  const char *data;
  size_t size;
} part;

static void write_to(int file, const char *text, size_t size) {
  struct line *line = &lines[file - STDOUT];
  for (; size--; text++) {
    if (*text == '\n' || line->size == sizeof line->text) flush_line(file);
    if (*text != '\n') line->text[line->size++] = *text;
  }
}

// For other languages than C.
void flowloom_write_stderr(const char *text, size_t size) { write_to(STDERR, text, size); }

int32_t __imported_wasi_snapshot_preview1_fd_write(int32_t file, int32_t parts, int32_t n_parts, int32_t written) {
  if (file != STDOUT && file != STDERR) return BADF;
  size_t total = 0;
  for (const part *next = (const part *)parts; n_parts--; next++) {
    write_to(file, next->data, next->size);
    total += next->size;
  }
  *(size_t *)written = total;
  return SUCCESS;
}

// A terminal: the C library then writes stdout after each line.
int32_t __imported_wasi_snapshot_preview1_fd_fdstat_get(int32_t file, int32_t status) {
  enum { CHARACTER_DEVICE = 2 };
  memset((void *)status, 0, 24);
  *(uint8_t *)status = CHARACTER_DEVICE;
  return file == STDOUT || file == STDERR ? SUCCESS : BADF;
}

int32_t __imported_wasi_snapshot_preview1_fd_seek(int32_t file, int64_t by, int32_t from, int32_t position) {
  (void)file, (void)by, (void)from, (void)position;
  return SPIPE;
}

int close(int file) {
  (void)file;
  errno = EBADF;
  return -1;
}

FLOWLOOM_NORETURN void __imported_wasi_snapshot_preview1_proc_exit(int32_t code) {
  flowloom_stop(flowloom_event(), " called exit(", flowloom_integer_text(code),
                "), but a plugin is not a process; call flowloom_fail (in Zig flowloom.fail) to end the instance", NULL);
}

// The end of a failed assert.
FLOWLOOM_NORETURN void __assert_fail(const char *condition, const char *file, int line, const char *function) {
  flowloom_fail_at(flowloom_join("assertion `", condition, "` does not hold", NULL), function, file, line);
}

#else

// A native program writes to its own stdout and stderr.
void flowloom_flush_lines(void) {}

#endif
