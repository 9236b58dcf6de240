/* SPDX-License-Identifier: Apache-2.0 */
/* Order per producer, nothing lost, and a wake-up whenever the consumer may sleep. */
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#include "base/mpsc.h"

struct message {
    struct bc_mpsc_node node;
    uint32_t producer;
    uint32_t number;
};

static struct message *pop(struct bc_mpsc *queue)
{
    struct bc_mpsc_node *node = bc_mpsc_pop(queue);

    return node == NULL ? NULL : BC_CONTAINER_OF(node, struct message, node);
}

static void queue_is_first_in_first_out(void **state)
{
    struct message messages[3] = {0};
    struct bc_mpsc queue;

    (void)state;
    bc_mpsc_init(&queue);
    assert_null(pop(&queue));
    for (int i = 0; i < 3; i++) {
        (void)bc_mpsc_push(&queue, &messages[i].node);
    }
    for (int i = 0; i < 3; i++) {
        assert_ptr_equal(pop(&queue), &messages[i]);
    }
    assert_null(pop(&queue));
}

static void push_between_pops_keeps_order(void **state)
{
    struct message messages[4] = {0};
    struct bc_mpsc queue;

    (void)state;
    bc_mpsc_init(&queue);
    (void)bc_mpsc_push(&queue, &messages[0].node);
    (void)bc_mpsc_push(&queue, &messages[1].node);
    assert_ptr_equal(pop(&queue), &messages[0]);
    (void)bc_mpsc_push(&queue, &messages[2].node);
    (void)bc_mpsc_push(&queue, &messages[3].node);
    for (int i = 1; i < 4; i++) {
        assert_ptr_equal(pop(&queue), &messages[i]);
    }
    assert_null(pop(&queue));
}

static void push_on_empty_asks_for_a_wake(void **state)
{
    struct message messages[3] = {0};
    struct bc_mpsc queue;

    (void)state;
    bc_mpsc_init(&queue);
    assert_true(bc_mpsc_push(&queue, &messages[0].node));
    assert_false(bc_mpsc_push(&queue, &messages[1].node));
    assert_ptr_equal(pop(&queue), &messages[0]);
    assert_true(bc_mpsc_push(&queue, &messages[2].node));
    assert_ptr_equal(pop(&queue), &messages[1]);
    assert_ptr_equal(pop(&queue), &messages[2]);
    assert_null(pop(&queue));
    assert_true(bc_mpsc_push(&queue, &messages[0].node));
}

#define PRODUCERS 4
#define MESSAGES  20000u

struct mailbox {
    struct bc_mpsc queue;
    sem_t wake;
};

struct producer {
    struct mailbox *mailbox;
    struct message *messages;
};

static void *produce(void *arg)
{
    struct producer *producer = arg;

    for (uint32_t i = 0; i < MESSAGES; i++) {
        if (bc_mpsc_push(&producer->mailbox->queue, &producer->messages[i].node)) {
            (void)sem_post(&producer->mailbox->wake);
        }
    }
    return NULL;
}

/* The next message; sleeps only after an empty pop. NULL after half a minute of nothing. */
static struct message *receive(struct mailbox *mailbox, const struct timespec *deadline)
{
    struct message *message = pop(&mailbox->queue);

    while (message == NULL) {
        if (sem_timedwait(&mailbox->wake, deadline) != 0 && errno != EINTR) {
            return NULL;
        }
        message = pop(&mailbox->queue);
    }
    return message;
}

static void many_producers_lose_nothing(void **state)
{
    struct producer producers[PRODUCERS];
    pthread_t threads[PRODUCERS];
    uint32_t next[PRODUCERS] = {0};
    struct mailbox mailbox;
    struct timespec deadline;

    (void)state;
    bc_mpsc_init(&mailbox.queue);
    assert_int_equal(sem_init(&mailbox.wake, 0, 0), 0);
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &deadline), 0);
    deadline.tv_sec += 30;
    for (uint32_t p = 0; p < PRODUCERS; p++) {
        producers[p].mailbox = &mailbox;
        producers[p].messages = calloc(MESSAGES, sizeof(struct message));
        assert_non_null(producers[p].messages);
        for (uint32_t i = 0; i < MESSAGES; i++) {
            producers[p].messages[i].producer = p;
            producers[p].messages[i].number = i;
        }
        assert_int_equal(pthread_create(&threads[p], NULL, produce, &producers[p]), 0);
    }
    for (uint32_t i = 0; i < PRODUCERS * MESSAGES; i++) {
        struct message *message = receive(&mailbox, &deadline);

        assert_non_null(message);
        assert_int_equal(message->number, next[message->producer]);
        next[message->producer]++;
    }
    assert_null(pop(&mailbox.queue));
    for (uint32_t p = 0; p < PRODUCERS; p++) {
        assert_int_equal(pthread_join(threads[p], NULL), 0);
        free(producers[p].messages);
    }
    assert_int_equal(sem_destroy(&mailbox.wake), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queue_is_first_in_first_out),
        cmocka_unit_test(push_between_pops_keeps_order),
        cmocka_unit_test(push_on_empty_asks_for_a_wake),
        cmocka_unit_test(many_producers_lose_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
