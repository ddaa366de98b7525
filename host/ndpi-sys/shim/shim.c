/* The shim for nDPI 4.2. */

#include "shim.h"

#include <string.h>

#include <ndpi_api.h>

#if NDPI_MAJOR != 4 || NDPI_MINOR != 2
#error "this shim supports nDPI 4.2 only"
#endif

_Static_assert(NDPI_CONFIDENCE_MAX == 5, "the confidence values differ from the documented ones");

static struct ndpi_detection_module_struct *module_of(struct fl_module *module) {
  return (struct ndpi_detection_module_struct *)module;
}

/* nDPI frees the whole struct by the address of its first member. */
struct fl_flow {
  struct ndpi_flow_struct ndpi;
  struct fl_protocol known;
  /* These two are from the first packet. */
  uint8_t ip_version;
  uint8_t l4_protocol;
};

static struct fl_protocol protocol_from(ndpi_protocol protocol) {
  struct fl_protocol plain = {
      .master = protocol.master_protocol,
      .app = protocol.app_protocol,
      .category = (uint16_t)protocol.category,
  };
  return plain;
}

static ndpi_protocol protocol_of(struct fl_protocol plain) {
  ndpi_protocol protocol = {
      .master_protocol = plain.master,
      .app_protocol = plain.app,
      .category = (ndpi_protocol_category_t)plain.category,
  };
  return protocol;
}

/* Copies a text of at most `most` bytes. A null pointer is an empty text. */
static void copy(struct fl_text *text, const char *from, size_t most) {
  if (most > sizeof(text->bytes)) most = sizeof(text->bytes);
  text->len = from == NULL ? 0 : (uint16_t)strnlen(from, most);
  if (text->len > 0) memcpy(text->bytes, from, text->len);
}

#define COPY_ARRAY(text, array) copy(text, array, sizeof(array))

int fl_is_compatible(void) {
  return ndpi_get_api_version() == NDPI_API_VERSION &&
         ndpi_detection_get_sizeof_ndpi_flow_struct() == SIZEOF_FLOW_STRUCT;
}

void fl_version(struct fl_text *version) { copy(version, ndpi_revision(), 64); }

struct fl_module *fl_module_new(const char *protocols_file, const char *categories_file) {
  struct ndpi_detection_module_struct *module = ndpi_init_detection_module(ndpi_no_prefs);
  NDPI_PROTOCOL_BITMASK all;

  if (module == NULL) return NULL;
  NDPI_BITMASK_SET_ALL(all);
  ndpi_set_protocol_detection_bitmask2(module, &all);
  if ((protocols_file != NULL && ndpi_load_protocols_file(module, protocols_file) < 0) ||
      (categories_file != NULL && ndpi_load_categories_file(module, categories_file) < 0)) {
    ndpi_exit_detection_module(module);
    return NULL;
  }
  ndpi_finalize_initialization(module);
  return (struct fl_module *)module;
}

void fl_module_free(struct fl_module *module) { ndpi_exit_detection_module(module_of(module)); }

struct fl_flow *fl_flow_new(void) {
  struct fl_flow *flow = ndpi_flow_malloc(sizeof(struct fl_flow));
  if (flow != NULL) memset(flow, 0, sizeof(struct fl_flow));
  return flow;
}

void fl_flow_free(struct fl_flow *flow) { ndpi_free_flow(&flow->ndpi); }

size_t fl_flow_size(void) { return sizeof(struct fl_flow); }

/* Returns whether a packet has a complete transport header, which nDPI needs to find the payload. */
static int has_payload(const uint8_t *l4, uint16_t len, uint8_t protocol) {
  switch (protocol) {
    case IPPROTO_TCP:
      return len >= 20 && len >= (l4[12] >> 4) * 4;
    case IPPROTO_UDP:
      return len >= 8;
    default:
      return 1;
  }
}

/* Returns whether nDPI 4.2 can process a packet without invalid memory accesses.
 *
 * nDPI stores its TCP state and its UDP state of a flow in one union, and selects the member by the
 * protocol of the current packet. After a packet of another protocol than the first, it would interpret
 * numbers as pointers.
 *
 * While nDPI examines a flow for extra details only, it does not check whether a packet has a payload.
 * Without one, it would dereference a null pointer. */
static int is_harmless(struct fl_flow *flow, const uint8_t *packet, uint16_t len) {
  const u_int8_t *l4 = NULL;
  u_int16_t l4_len = 0;
  u_int8_t protocol = 0;
  uint8_t version;

  /* A packet without a transport protocol changes no state. */
  if (ndpi_detection_get_l4(packet, len, &l4, &l4_len, &protocol, 0) != 0) return 1;
  version = packet[0] >> 4;
  if (flow->ip_version == 0) {
    flow->ip_version = version;
    flow->l4_protocol = protocol;
  }
  return flow->ip_version == version && flow->l4_protocol == protocol &&
         (!flow->ndpi.check_extra_packets || has_payload(l4, l4_len, protocol));
}

struct fl_protocol fl_dissect(struct fl_module *module, struct fl_flow *flow, const uint8_t *packet,
                              uint16_t len, uint64_t time_ms) {
  if (is_harmless(flow, packet, len))
    flow->known = protocol_from(
        ndpi_detection_process_packet(module_of(module), &flow->ndpi, packet, len, time_ms));
  return flow->known;
}

int fl_wants_more(struct fl_module *module, struct fl_flow *flow) {
  return ndpi_extra_dissection_possible(module_of(module), &flow->ndpi) != 0;
}

struct fl_protocol fl_give_up(struct fl_module *module, struct fl_flow *flow, int *guessed) {
  u_int8_t was_guessed = 0;
  struct fl_protocol protocol =
      protocol_from(ndpi_detection_giveup(module_of(module), &flow->ndpi, 1, &was_guessed));
  *guessed = was_guessed != 0;
  return protocol;
}

static int is(struct fl_protocol protocol, uint16_t id) {
  return protocol.master == id || protocol.app == id;
}

/* Returns whether the union member with the fingerprints of TLS contains other data for a protocol. */
static int is_without_fingerprints(struct fl_protocol protocol) {
  return (is(protocol, NDPI_PROTOCOL_BITTORRENT) && !is(protocol, NDPI_PROTOCOL_TLS)) ||
         is(protocol, NDPI_PROTOCOL_DNS) || is(protocol, NDPI_PROTOCOL_MDNS) ||
         is(protocol, NDPI_PROTOCOL_UBNTAC2) || is(protocol, NDPI_PROTOCOL_FTP_CONTROL) ||
         is(protocol, NDPI_PROTOCOL_MAIL_IMAP) || is(protocol, NDPI_PROTOCOL_MAIL_POP) ||
         is(protocol, NDPI_PROTOCOL_MAIL_SMTP) || is(protocol, NDPI_PROTOCOL_KERBEROS);
}

/* The conditions and their order are those of nDPI's own reader. */
void fl_details(const struct fl_flow *known_flow, struct fl_protocol protocol,
                struct fl_details *details) {
  const struct ndpi_flow_struct *flow = &known_flow->ndpi;

  details->client_fingerprint.len = 0;
  details->server_fingerprint.len = 0;
  details->user_agent.len = 0;
  details->content_type.len = 0;
  details->confidence = (uint8_t)flow->confidence;
  COPY_ARRAY(&details->server_name, flow->host_server_name);

  if (is(protocol, NDPI_PROTOCOL_DHCP)) {
    COPY_ARRAY(&details->client_fingerprint, flow->protos.dhcp.fingerprint);
  } else if (is_without_fingerprints(protocol)) {
  } else if (is(protocol, NDPI_PROTOCOL_HTTP)) {
    if (flow->http.url != NULL) {
      copy(&details->user_agent, flow->http.user_agent, 255);
      copy(&details->content_type, flow->http.content_type, 63);
    }
  } else if (is(protocol, NDPI_PROTOCOL_TELNET)) {
  } else if (is(protocol, NDPI_PROTOCOL_SSH)) {
    COPY_ARRAY(&details->server_name, flow->protos.ssh.client_signature);
    COPY_ARRAY(&details->client_fingerprint, flow->protos.ssh.hassh_client);
    COPY_ARRAY(&details->server_fingerprint, flow->protos.ssh.hassh_server);
  } else if (is(protocol, NDPI_PROTOCOL_TLS) || is(protocol, NDPI_PROTOCOL_QUIC) ||
             flow->protos.tls_quic.ja3_client[0] != '\0') {
    copy(&details->user_agent, flow->http.user_agent, 255);
    COPY_ARRAY(&details->client_fingerprint, flow->protos.tls_quic.ja3_client);
    COPY_ARRAY(&details->server_fingerprint, flow->protos.tls_quic.ja3_server);
  }
}

void fl_protocol_name(struct fl_module *module, struct fl_protocol protocol, struct fl_text *name) {
  char buffer[sizeof(name->bytes)] = "";
  ndpi_protocol2name(module_of(module), protocol_of(protocol), buffer, sizeof(buffer));
  COPY_ARRAY(name, buffer);
}

void fl_category_name(struct fl_module *module, uint16_t category, struct fl_text *name) {
  copy(name, ndpi_category_get_name(module_of(module), (ndpi_protocol_category_t)category),
       sizeof(name->bytes));
}

void fl_confidence_name(uint8_t confidence, struct fl_text *name) {
  const char *known = confidence < NDPI_CONFIDENCE_MAX
                          ? ndpi_confidence_get_name((ndpi_confidence_t)confidence)
                          : "";
  copy(name, known, sizeof(name->bytes));
}
