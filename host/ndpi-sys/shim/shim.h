/* What Flowloom needs of nDPI, in terms that do not change with its version.
 *
 * Plain values go in and come out: no pointer into nDPI's memory is handed on, and nothing is longer
 * than its length says. Another version of the library is a change of shim.c alone. */

#ifndef FLOWLOOM_NDPI_SHIM_H
#define FLOWLOOM_NDPI_SHIM_H

#include <stddef.h>
#include <stdint.h>

/* A dissector, with its caches: for one thread at a time. */
struct fl_module;
/* What the dissector knows of a flow. */
struct fl_flow;

/* Numbers of nDPI; 0 is unknown. */
struct fl_protocol {
  uint16_t master;
  uint16_t app;
  uint16_t category;
};

/* Not terminated. */
struct fl_text {
  uint16_t len;
  char bytes[256];
};

struct fl_details {
  struct fl_text server_name;
  struct fl_text client_fingerprint;
  struct fl_text server_fingerprint;
  struct fl_text user_agent;
  struct fl_text content_type;
  uint8_t confidence;
};

/* Whether the library that is loaded is the one that this was compiled for. */
int fl_is_compatible(void);

/* The version of the library that is loaded. */
void fl_version(struct fl_text *version);

/* A dissector for all protocols, or null. Files may be null; a line of theirs that nDPI does not
 * understand is skipped. Neither this nor fl_module_free may run in two threads at once. */
struct fl_module *fl_module_new(const char *protocols_file, const char *categories_file);
void fl_module_free(struct fl_module *module);

/* What is known of a new flow, or null. */
struct fl_flow *fl_flow_new(void);
void fl_flow_free(struct fl_flow *flow);
/* Bytes of one, without what it points to. */
size_t fl_flow_size(void);

/* Shows the flow's next packet, from its IP header on. One that the library would
 * stumble over is not shown: it is of another IP version or transport protocol than the flow's first, or
 * its transport header is not whole when all but that is known. */
struct fl_protocol fl_dissect(struct fl_module *module, struct fl_flow *flow, const uint8_t *packet,
                              uint16_t len, uint64_t time_ms);

/* Whether more packets may tell more of a flow whose application is known. */
int fl_wants_more(struct fl_module *module, struct fl_flow *flow);

/* Nothing more will be shown: what it is, by guess if need be; *guessed says if so. */
struct fl_protocol fl_give_up(struct fl_module *module, struct fl_flow *flow, int *guessed);

/* All else that is known of a flow that is of this protocol. */
void fl_details(const struct fl_flow *flow, struct fl_protocol protocol,
                struct fl_details *details);

/* `Master.App`, or one of them, or `Unknown`. */
void fl_protocol_name(struct fl_module *module, struct fl_protocol protocol, struct fl_text *name);
void fl_category_name(struct fl_module *module, uint16_t category, struct fl_text *name);

/* The name of a number of confidence; empty beyond the last. */
void fl_confidence_name(uint8_t confidence, struct fl_text *name);

#endif
