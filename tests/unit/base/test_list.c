/* SPDX-License-Identifier: Apache-2.0 */
/* Order, count and membership of the intrusive list. */
#include "unit.h"

#include "base/list.h"

struct item {
    struct bc_list_node node;
    char letter;
};

/* The letters in order, in a buffer that lives until the next call. */
static const char *letters_of(const struct bc_list *list)
{
    static char letters[16];
    size_t len = 0;

    for (struct bc_list_node *node = bc_list_first(list); node != NULL && len < 15;
         node = bc_list_next(list, node)) {
        letters[len++] = BC_CONTAINER_OF(node, struct item, node)->letter;
    }
    letters[len] = '\0';
    return letters;
}

static void list_keeps_order_and_count(void **state)
{
    struct item items[4] = {{.letter = 'a'}, {.letter = 'b'}, {.letter = 'c'}, {.letter = 'd'}};
    struct bc_list list;

    (void)state;
    bc_list_init(&list);
    assert_true(bc_list_empty(&list));
    assert_null(bc_list_first(&list));
    assert_null(bc_list_last(&list));
    assert_null(bc_list_pop_front(&list));
    bc_list_push_back(&list, &items[1].node);
    bc_list_push_back(&list, &items[3].node);
    bc_list_push_front(&list, &items[0].node);
    bc_list_insert_before(&list, &items[3].node, &items[2].node);
    assert_string_equal(letters_of(&list), "abcd");
    assert_int_equal(list.count, 4);
    assert_ptr_equal(bc_list_last(&list), &items[3].node);
    bc_list_remove(&list, &items[2].node);
    assert_false(bc_list_linked(&items[2].node));
    assert_string_equal(letters_of(&list), "abd");
    assert_ptr_equal(bc_list_pop_front(&list), &items[0].node);
    assert_string_equal(letters_of(&list), "bd");
    assert_int_equal(list.count, 2);
}

static void removed_node_can_join_again(void **state)
{
    struct item item = {.letter = 'a'};
    struct bc_list list;

    (void)state;
    bc_list_init(&list);
    for (int i = 0; i < 3; i++) {
        bc_list_push_front(&list, &item.node);
        assert_true(bc_list_linked(&item.node));
        bc_list_remove(&list, &item.node);
        assert_true(bc_list_empty(&list));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_keeps_order_and_count),
        cmocka_unit_test(removed_node_can_join_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
