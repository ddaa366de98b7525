/* The part of nDPI that Flowloom uses, independent of nDPI's version.
 *
 * Arguments and results are plain values. No result points into nDPI's memory, and no text is longer
 * than its length field. Another version of nDPI requires changes in shim.c only. */

#ifndef FLOWLOOM_NDPI_SHIM_H
#define FLOWLOOM_NDPI_SHIM_H

#include <stddef.h>
#include <stdint.h>

/* A dissector with its caches. Only one thread at a time may use it. */
struct fl_module;
/* The state of a flow. */
struct fl_flow;

/* A protocol as numbers of nDPI; 0 is unknown. */
struct fl_protocol {
  uint16_t master;
  uint16_t app;
  uint16_t category;
};

/* A text without terminating zero. */
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

/* Returns whether the loaded library is the one that the shim was compiled for. */
int fl_is_compatible(void);

/* Stores the version of the loaded library. */
void fl_version(struct fl_text *version);

/* Creates a dissector for all protocols, or returns null. The files may be null. nDPI skips lines that
 * it cannot parse. Only one thread at a time may call this function or fl_module_free. */
struct fl_module *fl_module_new(const char *protocols_file, const char *categories_file);
void fl_module_free(struct fl_module *module);

/* Creates the state of a new flow, or returns null. */
struct fl_flow *fl_flow_new(void);
void fl_flow_free(struct fl_flow *flow);
/* Returns the size of the state of a flow, without the memory that it points to. */
size_t fl_flow_size(void);

/* Dissects the flow's next packet, which starts with the IP header. Two kinds of packets are not passed
 * to nDPI, because it cannot process them safely: those whose IP version or transport protocol differs
 * from that of the first packet, and those with an incomplete transport header in a flow that nDPI
 * examines for extra details only. */
struct fl_protocol fl_dissect(struct fl_module *module, struct fl_flow *flow, const uint8_t *packet,
                              uint16_t len, uint64_t time_ms);

/* Returns whether further packets may yield more details of a flow whose application is known. */
int fl_wants_more(struct fl_module *module, struct fl_flow *flow);

/* Ends the dissection and returns the protocol. *guessed is 1 if nDPI guessed it, else 0. */
struct fl_protocol fl_give_up(struct fl_module *module, struct fl_flow *flow, int *guessed);

/* Stores the details of a flow with this protocol. */
void fl_details(const struct fl_flow *flow, struct fl_protocol protocol,
                struct fl_details *details);

/* Store the name of a protocol (`Master.App`, one of them, or `Unknown`) or of a category. */
void fl_protocol_name(struct fl_module *module, struct fl_protocol protocol, struct fl_text *name);
void fl_category_name(struct fl_module *module, uint16_t category, struct fl_text *name);

/* Stores the name of a confidence value, or an empty text if there is no such value. */
void fl_confidence_name(uint8_t confidence, struct fl_text *name);

#endif
