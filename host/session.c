/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - see session.h. */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "errors.h"
#include "progress.h"
#include "proto/proto.h"
#include "registry.h"
#include "revoke.h"
#include "transfer.h"

#define BACK_OFF_MIN_MS UINT64_C(50)
#define BACK_OFF_MAX_MS UINT64_C(2000)
/* How long an attempt to come back may take. With memory in quarantine the library thread has to
 * look after that as well, and must not sit in connect. */
#define RECONNECT_MAX_MS   UINT64_C(5000)
#define RECONNECT_SHORT_MS UINT64_C(500)
/* Names no request: ids of requests are larger. */
#define KEEPALIVE_ID     UINT64_C(1)
#define KEEPALIVE_ROUNDS 3
/* An agent that takes less could not be told of one memory and one key. */
#define MESSAGE_MAX_LEAST 8192u

/* ---- connecting ---------------------------------------------------------------------------- */

/* Exponential, with a quarter of jitter either way, so that clients of one agent do not come
 * together. */
static uint64_t back_off_ns(struct bc_client *client)
{
    uint32_t shift = client->connect_failures < 6 ? client->connect_failures : 6;
    uint64_t ns = bc_min_u64(BACK_OFF_MIN_MS << shift, BACK_OFF_MAX_MS) * BC_NS_PER_MS;

    client->random ^= client->random << 13;
    client->random ^= client->random >> 7;
    client->random ^= client->random << 17;
    return ns - ns / 4 + client->random % (ns / 2);
}

static void read_host_id(uint8_t id_out[16])
{
    char text[33] = "";
    int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    memset(id_out, 0, 16);
    if (fd >= 0) {
        (void)close(fd);
    }
    for (int i = 0; got == 32 && i < 16; i++) {
        unsigned int byte;

        if (sscanf(&text[2 * i], "%2x", &byte) != 1) {
            memset(id_out, 0, 16);
            return;
        }
        id_out[i] = (uint8_t)byte;
    }
}

static int send_hello_locked(struct bc_client *client, struct bc_link *link)
{
    struct bc_hello hello = {.wire = {.version_min = BC_WIRE_VERSION,
                                      .version_max = BC_WIRE_VERSION,
                                      .pid = (uint32_t)getpid(),
                                      .requests_wanted = client->settings.requests_max}};
    uint8_t body[sizeof(struct bc_wire_hello) + BC_NAME_LEN_MAX];
    struct bc_writer writer;
    size_t len = 0;
    int rc;

    read_host_id(hello.wire.host_id);
    hello.name.data = (const uint8_t *)client->settings.name;
    hello.name.len = strlen(client->settings.name);
    hello.wire.name_len = (uint16_t)hello.name.len;
    bc_writer_init(&writer, body, sizeof(body));
    rc = bc_hello_encode(&writer, &hello);
    if (rc == 0) {
        rc = bc_writer_finish(&writer, &len);
    }
    return rc != 0 ? rc : bc_link_send(link, BC_MSG_HELLO, 0, body, len);
}

/* What is not the same as with TCP. */
static bool describe_comch_failure(struct bc_client *client, int rc)
{
    const char *addr = client->settings.dpu_addr;

    switch (rc) {
    case -ECONNREFUSED:
        (void)bc_error_set(
            &client->error, rc,
            "no agent serves %s; start dpu_dma_copy on that BlueField without -T and "
            "with --rep %s, or correct the service in dpu_addr (BLUECACHE_DPU_ADDR)",
            addr, client->device.pci_addr);
        return true;
    case -EINVAL:
        (void)bc_error_set(
            &client->error, rc,
            "with mode comch dpu_addr is the name of the agent's service, at most 48 "
            "characters without '/'; '%s' is none",
            addr);
        return true;
    case -EACCES:
        (void)bc_error_set(&client->error, rc,
                           "no permission for %s: run as root or as a member of the group mlnx",
                           addr);
        return true;
    case -EOPNOTSUPP:
        (void)bc_error_set(&client->error, rc,
                           "the function %s cannot do Comch: give pci_addr of a BlueField's host "
                           "function, or use mode tcp",
                           client->device.pci_addr);
        return true;
    default:
        return false;
    }
}

static void describe_failure(struct bc_client *client, int rc)
{
    const char *addr = client->settings.dpu_addr;

    if (client->settings.comch && describe_comch_failure(client, rc)) {
        return;
    }
    switch (rc) {
    case -ECONNREFUSED:
        (void)bc_error_set(&client->error, rc,
                           "no agent listens at %s; start dpu_dma_copy there with -T, or correct "
                           "dpu_addr (BLUECACHE_DPU_ADDR)",
                           addr);
        break;
    case -ETIMEDOUT:
        (void)bc_error_set(&client->error, rc, "the agent at %s does not answer within %llu ms",
                           addr, (unsigned long long)client->settings.timeout_ms);
        break;
    case -EINVAL:
        (void)bc_error_set(&client->error, rc, "'%s' is not an address of the form HOST:PORT",
                           addr);
        break;
    case -EBADMSG:
    case -EMSGSIZE:
        (void)bc_error_set(&client->error, rc, "what answers at %s is not a BlueCache agent", addr);
        break;
    case -ENOTCONN:
    case -ECONNRESET:
        (void)bc_error_set(&client->error, rc, "what listens at %s closes the connection", addr);
        break;
    default:
        (void)bc_error_set(&client->error, rc, "cannot reach the agent at %s: %s", addr,
                           strerror(-rc));
        break;
    }
}

/* The first attempt decides alone; later ones are repeated for ever. */
static void connect_failed_locked(struct bc_client *client, int rc)
{
    if (client->connected_once) {
        client->connect_due_ns = bc_now_ns() + back_off_ns(client);
        client->connect_failures++;
        BC_DBG("host", "cannot reach the agent at %s (%s), trying again", client->settings.dpu_addr,
               strerror(-rc));
        return;
    }
    if (client->error.text[0] == '\0') { /* else the agent itself gave the reason */
        describe_failure(client, rc);
    }
    client->connect_wanted = false;
    client->connect_error = rc == -ENOTCONN || rc == -ECONNRESET ? -ECONNREFUSED : rc;
    bc_progress_changed_locked(client);
}

static uint64_t attempt_ms_locked(const struct bc_client *client)
{
    uint64_t limit_ms = RECONNECT_MAX_MS;

    if (!client->connected_once) {
        return client->settings.timeout_ms;
    }
    if (!bc_list_empty(&client->dying)) {
        limit_ms = RECONNECT_SHORT_MS;
    }
    return bc_min_u64(client->settings.timeout_ms, limit_ms);
}

/* The library thread closes it, which may take a moment. */
static void link_dead(void *arg, struct bc_link *link)
{
    struct bc_client *client = arg;

    bc_list_push_back(&client->dead_links, &link->dead_node);
    bc_progress_kick_thread_locked(client);
}

void bc_session_bury_locked(struct bc_client *client)
{
    struct bc_list_node *node;

    while ((node = bc_list_pop_front(&client->dead_links)) != NULL) {
        bc_client_unlock(client);
        bc_link_destroy(BC_CONTAINER_OF(node, struct bc_link, dead_node));
        bc_client_lock(client);
    }
}

void bc_session_connect_locked(struct bc_client *client)
{
    uint64_t attempt_ms = attempt_ms_locked(client);
    uint64_t until_ns = bc_now_ns() + attempt_ms * BC_NS_PER_MS;
    struct bc_link *link = NULL;
    struct bc_conn *conn = NULL;
    int rc;

    bc_client_unlock(client);
    rc = client->transport->connect(client->settings.dpu_addr, attempt_ms, client->stop_fd, &conn);
    bc_client_lock(client);
    if (rc == 0) {
        rc = bc_link_create(client->transport, conn, client->link_serial + 1, &link);
    }
    if (rc == 0) {
        link->dead = link_dead;
        link->dead_arg = client;
    }
    if (!client->connect_wanted) { /* closed meanwhile */
        if (rc == 0) {
            bc_link_put(link);
        }
        return;
    }
    if (rc == 0) {
        rc = send_hello_locked(client, link);
        if (rc != 0) {
            bc_link_put(link);
        }
    }
    if (rc != 0) {
        connect_failed_locked(client, rc);
        return;
    }
    link->greeting_until_ns = until_ns;
    link->heard_ns = bc_now_ns();
    client->link_serial++;
    client->link = link;
    bc_progress_changed_locked(client);
}

/* ---- what arrives -------------------------------------------------------------------------- */

static int accept_ack_locked(struct bc_client *client, const struct bc_message *message)
{
    struct bc_link *link = client->link;
    struct bc_hello_ack ack;
    int rc = bc_hello_ack_decode(message->body, message->body_len, &ack);

    if (rc != 0 || link->state != BC_LINK_GREETING) {
        return -EBADMSG;
    }
    if (ack.wire.status != BC_STATUS_OK) {
        (void)bc_error_set(&client->error, 0, "the agent at %s refuses the session: %s",
                           client->settings.dpu_addr, bc_status_text(ack.wire.status));
        return bc_errno_from_refusal(ack.wire.status);
    }
    if (ack.wire.version != BC_WIRE_VERSION) {
        return -EPROTONOSUPPORT;
    }
    if (ack.wire.requests_max == 0 || ack.wire.entries_max == 0 || ack.wire.regions_max == 0 ||
        ack.wire.message_max < MESSAGE_MAX_LEAST) {
        return -EBADMSG;
    }
    rc = bc_registry_reset_ids_locked(client, ack.wire.regions_max);
    if (rc != 0) {
        return rc;
    }
    link->ack = ack.wire;
    link->state = BC_LINK_UP;
    client->grant = ack.wire;
    (void)snprintf(client->agent_name, sizeof(client->agent_name), "%.*s", (int)ack.name.len,
                   (const char *)ack.name.data);
    client->reconnects += client->connected_once ? 1 : 0;
    client->connected_once = true;
    client->connect_failures = 0;
    BC_INFO("host", "session %llx with %s at %s", (unsigned long long)ack.wire.session_id,
            client->agent_name, client->settings.dpu_addr);
    bc_progress_changed_locked(client);
    bc_progress_kick_thread_locked(client); /* the memory has to be registered anew */
    return 0;
}

static int answer_locked(struct bc_client *client, const struct bc_message *message)
{
    struct bc_pending *pending = bc_pending_find(&client->pending, message->request_id);

    if (client->link->state == BC_LINK_GREETING) {
        return -EBADMSG;
    }
    if (pending == NULL) { /* given up meanwhile, or a keep-alive */
        return 0;
    }
    if (pending->reply_type != message->type) {
        return -EBADMSG;
    }
    return pending->reply(client, pending, message);
}

static int agent_error_locked(struct bc_client *client, const struct bc_message *message)
{
    struct bc_error_message error;

    if (bc_error_decode(message->body, message->body_len, &error) != 0) {
        return -EBADMSG;
    }
    BC_ERROR("host", "the agent at %s ends the session: %s: %.*s", client->settings.dpu_addr,
             bc_status_name(error.status), (int)error.text.len, (const char *)error.text.data);
    if (client->link->state == BC_LINK_GREETING) {
        (void)bc_error_set(&client->error, 0, "the agent at %s refuses the session: %.*s",
                           client->settings.dpu_addr, (int)error.text.len,
                           (const char *)error.text.data);
        return bc_errno_from_refusal(error.status);
    }
    return -ECONNABORTED;
}

static int on_message(void *arg, const struct bc_message *message)
{
    struct bc_client *client = arg;

    switch (message->type) {
    case BC_MSG_HELLO_ACK:
        return accept_ack_locked(client, message);
    case BC_MSG_REGISTER_ACK:
    case BC_MSG_UNREGISTER_ACK:
    case BC_MSG_COMPLETION:
    case BC_MSG_QUERY_RESULT:
    case BC_MSG_REMOVE_RESULT:
    case BC_MSG_STATS_RESULT:
    case BC_MSG_PONG:
        return answer_locked(client, message);
    case BC_MSG_PING:
        return message->body_len > BC_PING_LEN_MAX
                   ? -EBADMSG
                   : bc_link_send(client->link, BC_MSG_PONG, message->request_id, message->body,
                                  message->body_len);
    case BC_MSG_ERROR:
        return agent_error_locked(client, message);
    case BC_MSG_GOODBYE:
        BC_INFO("host", "the agent at %s shuts down", client->settings.dpu_addr);
        client->link->state = BC_LINK_DRAINING;
        bc_progress_changed_locked(client);
        return 0;
    default:
        return -EBADMSG;
    }
}

static const char *reason_of(int error)
{
    switch (error) {
    case -EBADMSG:
    case -EMSGSIZE:
        return "it breaks the protocol";
    case -ENOTCONN:
        return "it closed the connection";
    case -ECONNABORTED:
        return "it gave an error";
    default:
        return strerror(-error);
    }
}

void bc_session_receive_locked(struct bc_client *client)
{
    struct bc_link *link = client->link;
    int rc;

    link->corked = true;
    rc = bc_link_receive(link, on_message, client);
    if (rc > 0) {
        link->heard_ns = bc_now_ns();
        link->pinged_ns = 0;
    }
    if (rc >= 0) {
        bc_transfer_pump_locked(client);
    }
    link->corked = false;
    bc_link_flush(link);
    if (rc >= 0 && link->broken != 0) {
        rc = link->broken;
    }
    if (rc < 0) {
        bc_session_drop_locked(client, rc, reason_of(rc));
    } else if (link->state == BC_LINK_DRAINING && link->requests_used == 0) {
        bc_session_drop_locked(client, -ESHUTDOWN, "it has shut down");
    }
}

void bc_session_timers_locked(struct bc_client *client, uint64_t now_ns, uint64_t *next_ns)
{
    struct bc_link *link = client->link;
    uint64_t keepalive_ns = (uint64_t)link->ack.keepalive_ms * BC_NS_PER_MS;

    if (link->state == BC_LINK_GREETING) {
        bc_earliest(next_ns, link->greeting_until_ns);
        if (now_ns >= link->greeting_until_ns) {
            bc_session_drop_locked(client, -ETIMEDOUT, "it does not answer the greeting");
        }
        return;
    }
    if (keepalive_ns == 0) {
        return;
    }
    if (now_ns >= link->heard_ns + KEEPALIVE_ROUNDS * keepalive_ns) {
        bc_session_drop_locked(client, -ETIMEDOUT, "it has fallen silent");
        return;
    }
    if (link->pinged_ns == 0 && now_ns >= link->heard_ns + keepalive_ns) {
        link->pinged_ns = now_ns;
        if (bc_link_send(link, BC_MSG_PING, KEEPALIVE_ID, NULL, 0) != 0) {
            BC_DBG("host", "no room for a keep-alive");
        }
    }
    bc_earliest(next_ns,
                link->heard_ns + (link->pinged_ns == 0 ? 1 : KEEPALIVE_ROUNDS) * keepalive_ns);
}

/* ---- loss ---------------------------------------------------------------------------------- */

void bc_session_drop_locked(struct bc_client *client, int reason, const char *why)
{
    struct bc_link *link = client->link;
    struct bc_pending *pending;
    uint32_t cursor = 0;

    client->link = NULL;
    if (link->state != BC_LINK_GREETING) {
        BC_LOG(client->closing ? BC_LOG_DEBUG : BC_LOG_WARN, "host",
               "lost the agent at %s: %s; %u requests were under way", client->settings.dpu_addr,
               why, link->requests_used);
    }
    while ((pending = bc_pending_any(&client->pending, &cursor)) != NULL) {
        bc_pending_remove(&client->pending, pending);
        pending->lost(client, pending);
    }
    bc_revoke_session_locked(client);
    if (link->state == BC_LINK_GREETING) {
        connect_failed_locked(client, reason);
    } else {
        client->connect_due_ns = bc_now_ns() + back_off_ns(client);
    }
    bc_link_put(link);
    bc_progress_changed_locked(client);
    bc_progress_release_leader_locked(client);
    bc_progress_kick_thread_locked(client);
}

void bc_session_goodbye_locked(struct bc_client *client)
{
    if (client->link != NULL && client->link->state != BC_LINK_GREETING &&
        bc_link_send(client->link, BC_MSG_GOODBYE, 0, NULL, 0) != 0) {
        BC_DBG("host", "no room for GOODBYE");
    }
}
