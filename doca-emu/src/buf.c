/* SPDX-License-Identifier: Apache-2.0 */
/* buf.c - reference counts, data windows and lists of bufs. */
#include "buf.h"

/* In a list, and not its first. */
static bool is_tail(const struct doca_buf *buf)
{
    return buf->prev != NULL;
}

static struct doca_buf *last_of(struct doca_buf *buf)
{
    while (buf->next != NULL) {
        buf = buf->next;
    }
    return buf;
}

doca_error_t doca_buf_inc_refcount(struct doca_buf *buf, uint16_t *refcount)
{
    if (buf == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (is_tail(buf)) {
        return DOCA_ERROR_NOT_PERMITTED;
    }
    if (buf->refs == UINT16_MAX) {
        return DOCA_ERROR_TOO_BIG;
    }
    if (refcount != NULL) {
        *refcount = buf->refs;
    }
    buf->refs++;
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_dec_refcount(struct doca_buf *buf, uint16_t *refcount)
{
    if (buf == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (buf->refs == 0) {
        return DOCA_ERROR_BAD_STATE;
    }
    if (is_tail(buf)) {
        return DOCA_ERROR_NOT_PERMITTED;
    }
    if (refcount != NULL) {
        *refcount = buf->refs;
    }
    if (--buf->refs == 0) {
        emu_buf_return(buf);
    }
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_get_refcount(const struct doca_buf *buf, uint16_t *refcount)
{
    *refcount = buf->refs;
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_get_len(const struct doca_buf *buf, size_t *len)
{
    *len = buf->len;
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_get_head(const struct doca_buf *buf, void **head)
{
    *head = buf->head;
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_get_data_len(const struct doca_buf *buf, size_t *data_len)
{
    *data_len = buf->data_len;
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_get_data(const struct doca_buf *buf, void **data)
{
    *data = buf->data;
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_set_data(struct doca_buf *buf, void *data, size_t data_len)
{
    buf->data = data;
    buf->data_len = data_len;
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_set_data_len(struct doca_buf *buf, size_t data_len)
{
    buf->data_len = data_len;
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_reset_data_len(struct doca_buf *buf)
{
    buf->data_len = 0;
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_get_next_in_list(struct doca_buf *buf, struct doca_buf **next_buf)
{
    *next_buf = buf->next;
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_get_last_in_list(struct doca_buf *buf, struct doca_buf **last_buf)
{
    *last_buf = last_of(buf);
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_is_last_in_list(const struct doca_buf *buf, uint8_t *is_last)
{
    *is_last = buf->next == NULL;
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_is_first_in_list(const struct doca_buf *buf, uint8_t *is_first)
{
    *is_first = !is_tail(buf);
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_is_in_list(const struct doca_buf *buf, uint8_t *is_in_list)
{
    *is_in_list = buf->next != NULL || is_tail(buf);
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_get_list_len(const struct doca_buf *buf, uint32_t *num_elements)
{
    if (buf == NULL || num_elements == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (is_tail(buf)) {
        return DOCA_ERROR_NOT_PERMITTED;
    }
    uint32_t count = 0;
    for (; buf != NULL; buf = buf->next) {
        count++;
    }
    *num_elements = count;
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_chain_list(struct doca_buf *list1, struct doca_buf *list2)
{
    if (list1 == NULL || list2 == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return doca_buf_chain_list_tail(list1, last_of(list1), list2);
}

doca_error_t doca_buf_chain_list_tail(struct doca_buf *list1_head, struct doca_buf *list1_tail,
                                      struct doca_buf *list2)
{
    if (list1_head == NULL || list1_tail == NULL || list2 == NULL || list1_head == list2 ||
        list1_tail->next != NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    /* The second list gives up its own reference: it must be the only one. */
    if (is_tail(list1_head) || is_tail(list2) || list2->refs != 1) {
        return DOCA_ERROR_NOT_PERMITTED;
    }
    list1_tail->next = list2;
    list2->prev = list1_tail;
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_unchain_list(struct doca_buf *list1, struct doca_buf *list2)
{
    if (list1 == NULL || list2 == NULL || list1 == list2 || is_tail(list1)) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    struct doca_buf *buf = list1;
    while (buf != NULL && buf != list2) {
        buf = buf->next;
    }
    if (buf == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    list2->prev->next = NULL;
    list2->prev = NULL;
    return DOCA_SUCCESS;
}
