// The states of flows, by slot and by id.

#include "internal.h"

#include <stdlib.h>
#include <string.h>

char **flowloom_blocks;
size_t flowloom_stride;
static size_t n_blocks;

// The flow of a slot, in the event world.
typedef struct {
  uint64_t id;
  uint32_t next; // the next slot of the same bucket, plus one; or the next free slot, plus one; 0 without one
} flow;

// The flows by slot, in blocks like the states. They exist only in the event world.
static flow **flows;
static size_t n_flow_blocks;

void flowloom_set_state_size(size_t size) { flowloom_stride = size ? size : 1; }

// Adds an empty block to a list of blocks.
static void *add_block(void *blocks, size_t n, size_t element) {
  // The capacity is the next power of two, so it is exhausted if the size is a power of two.
  if ((n & (n - 1)) == 0) {
    size_t size = (n ? 2 * n : 1) * sizeof(char *);
    blocks = flowloom_allocated(realloc(blocks, size), size);
  }
  size_t size = FLOWLOOM_BLOCK * element;
  ((void **)blocks)[n] = flowloom_allocated(malloc(size), size);
  return blocks;
}

void *flowloom_state_for_slot(uint32_t slot) {
  while (slot / FLOWLOOM_BLOCK >= n_blocks) {
    flowloom_blocks = add_block(flowloom_blocks, n_blocks, flowloom_stride);
    n_blocks++;
  }
  return memset(flowloom_state_of_slot(slot), 0, flowloom_stride);
}

// A hash table from ids to slots: a bucket has a list of slots. At most one slot per bucket on average.
static uint32_t *buckets; // the first slot of each bucket, plus one; 0 if the bucket is empty
static size_t n_buckets;
static size_t n_live;
static uint32_t free_slot; // the first free slot, plus one; 0 without one
static uint32_t n_slots;

// Returns how many bytes the allocator of `zig cc` uses for a block.
static size_t rounded(size_t size) {
  size_t power = 64;
  while (power < size + 20) power *= 2;
  return power;
}

size_t flowloom_flow_size(bool by_id) {
  size_t state = rounded(FLOWLOOM_BLOCK * flowloom_stride) / FLOWLOOM_BLOCK;
  // A flow has at most two buckets after the table grew, and as many in all smaller tables that were freed.
  return state + (by_id ? sizeof(flow) + 4 * sizeof *buckets : 0);
}

static flow *flow_of_slot(uint32_t slot) { return &flows[slot / FLOWLOOM_BLOCK][slot % FLOWLOOM_BLOCK]; }

// Fibonacci hashing. Ids are consecutive numbers; the hash spreads them over the table.
static uint32_t *bucket_of(uint64_t id) {
  return &buckets[((id * 0x9E3779B97F4A7C15) >> 32) * n_buckets >> 32];
}

static void link_slot(uint32_t slot) {
  flow *added = flow_of_slot(slot);
  uint32_t *bucket = bucket_of(added->id);
  added->next = *bucket;
  *bucket = slot + 1;
}

static void grow(void) {
  uint32_t *old = buckets;
  size_t n_old = n_buckets;
  // A bit less than a power of two, like a block.
  n_buckets = n_old ? 2 * n_old + 8 : 56;
  buckets = flowloom_allocate(n_buckets, sizeof *buckets);
  for (size_t n = 0; n < n_old; n++) {
    for (uint32_t slot = old[n], next; slot; slot = next) {
      next = flow_of_slot(slot - 1)->next;
      link_slot(slot - 1);
    }
  }
  free(old);
}

// Returns the link to the flow's slot: the slot plus one, or 0 if there is no such flow.
static uint32_t *find(uint64_t id) {
  uint32_t *link = bucket_of(id);
  while (*link && flow_of_slot(*link - 1)->id != id) link = &flow_of_slot(*link - 1)->next;
  return link;
}

void *flowloom_state_for_id(uint64_t id) {
  if (n_live == n_buckets) grow();
  if (*find(id)) flowloom_stop("Flowloom gave two inits of a flow", NULL);
  uint32_t slot = free_slot ? free_slot - 1 : n_slots++;
  if (slot / FLOWLOOM_BLOCK >= n_flow_blocks) {
    flows = add_block(flows, n_flow_blocks, sizeof(flow));
    n_flow_blocks++;
  }
  if (free_slot) free_slot = flow_of_slot(slot)->next;
  flow_of_slot(slot)->id = id;
  link_slot(slot);
  n_live++;
  return flowloom_state_for_slot(slot);
}

static uint32_t *existing(uint64_t id) {
  uint32_t *link = n_live ? find(id) : NULL;
  if (link == NULL || *link == 0) flowloom_stop("Flowloom gave an event of a flow without an init", NULL);
  return link;
}

void *flowloom_state_of_id(uint64_t id) { return flowloom_state_of_slot(*existing(id) - 1); }

void flowloom_remove_id(uint64_t id) {
  uint32_t *link = existing(id), slot_plus_one = *link;
  flow *gone = flow_of_slot(slot_plus_one - 1);
  *link = gone->next;
  gone->next = free_slot;
  free_slot = slot_plus_one;
  n_live--;
}
