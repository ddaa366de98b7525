// Declarations that the files of the SDK share. They are not for plugins.
#ifndef FLOWLOOM_INTERNAL_H
#define FLOWLOOM_INTERNAL_H

#include "../include/flowloom.h"

typedef exports_flowloom_plugin_batch_feature_column_t flowloom_column_of_rows;
typedef exports_flowloom_plugin_feature_value_t flowloom_value;
typedef flowloom_plugin_manifest_list_option_description_t flowloom_option_descriptions;

// NULL if the plugin does not have this function.
bool flowloom_cuts(const void *state) __attribute__((weak));

// The manifest of the plugin, after flowloom_open.
extern flowloom_manifest flowloom_opened;

// The event that runs: "open", "init", "update", "expire" or "finish"; NULL in a batch.
extern const char *flowloom_running;
const char *flowloom_event_of_batch(void);

// Returns the event that runs, also in a batch.
const char *flowloom_event(void);

// Logs the concatenated strings as an error, and traps. The last argument must be NULL.
FLOWLOOM_NORETURN void flowloom_stop(const char *first, ...);

// The other functions that explain a mistake. `n` is the index of an output.
FLOWLOOM_NORETURN void flowloom_wrong_type(const flowloom_output *output, flowloom_type type);
FLOWLOOM_NORETURN void flowloom_unknown_output(size_t n);

// Returns the part of a path after its last separator.
const char *flowloom_file_name(const char *path);

// Logs what the plugin wrote to stdout and stderr after its last line feed.
void flowloom_flush_lines(void);

// Memory: ends the instance if an allocation failed. Both return NULL for zero bytes.
void *flowloom_allocated(void *memory, size_t size);
void *flowloom_allocate(size_t count, size_t size); // zeroed

// Texts: like flowloom_join, these are never freed.
const char *flowloom_integer_text(int64_t value);
const char *flowloom_copied_text(const dual_plugin_string_t *text);

// Options.
struct flowloom_options {
  const char **keys;
  const char **values;
  bool *read;
  size_t size;
};

// Returns an error if an option was given twice or was not read, and NULL otherwise.
const char *flowloom_check_options(const flowloom_options *options);

// Returns the options that the plugin read.
flowloom_option_descriptions flowloom_described_options(void);

// The states of flows. They are in blocks of FLOWLOOM_BLOCK states, so that their addresses never change. The
// allocator of `zig cc` adds 20 bytes to a block and rounds up to a power of two. A block is therefore a bit
// smaller than a power of two if a state is one.
enum { FLOWLOOM_BLOCK = 252 };

// Prepares for states of this size.
void flowloom_set_state_size(size_t size);

// Returns the bytes of memory that a flow needs, apart from what its state allocates.
size_t flowloom_flow_size(bool by_id);

// By slot, a number that Flowloom chooses.
extern char **flowloom_blocks;
extern size_t flowloom_stride; // bytes from a state to the next one
void *flowloom_state_for_slot(uint32_t slot); // zeroed, for a new flow

static inline void *flowloom_state_of_slot(uint32_t slot) {
  return flowloom_blocks[slot / FLOWLOOM_BLOCK] + slot % FLOWLOOM_BLOCK * flowloom_stride;
}

// By the flow's id.
void *flowloom_state_for_id(uint64_t id); // zeroed, for a new flow
void *flowloom_state_of_id(uint64_t id);
void flowloom_remove_id(uint64_t id); // the state may be used until the next flow begins

// Finds where each field of an event is. Called after flowloom_open.
void flowloom_prepare_events(void);

// Outputs.
typedef struct flowloom_output_column flowloom_output_column;

// Either the columns of a batch or the values of one event.
struct flowloom_outputs {
  flowloom_output_column *columns;
  size_t row;
  size_t rows;
  flowloom_value *values;
};

void flowloom_begin_columns(flowloom_outputs *outputs, size_t rows);
void flowloom_end_columns(flowloom_outputs *outputs,
                          exports_flowloom_plugin_batch_feature_list_output_column_t *answer);
void flowloom_begin_values(flowloom_outputs *outputs);

#endif
