/* SPDX-License-Identifier: Apache-2.0 */
/* prototypes.h - every function that the emulation has, with the exact type that programs for the SDK
 * count on. Including file defines, for stable and experimental functions of all shapes, for what was
 * added after DOCA 2.7, for what differs between the shapes, and for what was experimental in 2.7:
 *   STABLE(type, name, args)  EXPERIMENTAL(type, name, args)  NEW(type, name, args)
 *   DIFFERS(type_2_7, name_2_7, args_2_7, type, name, args)  COMCH(type, name, args)
 * This file is included more than once. */

/* error */
STABLE(const char *, doca_error_get_name, (doca_error_t))
STABLE(const char *, doca_error_get_descr, (doca_error_t))

/* log */
EXPERIMENTAL(doca_error_t, doca_log_backend_set_level_lower_limit,
             (struct doca_log_backend *, uint32_t))
EXPERIMENTAL(doca_error_t, doca_log_level_set_global_lower_limit, (uint32_t))
EXPERIMENTAL(doca_error_t, doca_log_register_source, (const char *, int *))
EXPERIMENTAL(doca_error_t, doca_log_backend_create_with_file, (FILE *, struct doca_log_backend **))
EXPERIMENTAL(doca_error_t, doca_log_backend_set_sdk_level, (struct doca_log_backend *, uint32_t))
EXPERIMENTAL(doca_error_t, doca_log_backend_create_with_file_sdk,
             (FILE *, struct doca_log_backend **))
EXPERIMENTAL(doca_error_t, doca_log_backend_create_standard, (void))
EXPERIMENTAL(doca_error_t, doca_log,
             (uint32_t, int, const char *, int, const char *, const char *, ...))

/* dev */
STABLE(doca_error_t, doca_devinfo_create_list, (struct doca_devinfo ***, uint32_t *))
STABLE(doca_error_t, doca_devinfo_destroy_list, (struct doca_devinfo **))
STABLE(doca_error_t, doca_devinfo_rep_create_list,
       (struct doca_dev *, int, struct doca_devinfo_rep ***, uint32_t *))
STABLE(doca_error_t, doca_devinfo_rep_destroy_list, (struct doca_devinfo_rep **))
STABLE(doca_error_t, doca_dev_open, (struct doca_devinfo *, struct doca_dev **))
STABLE(doca_error_t, doca_dev_close, (struct doca_dev *))
STABLE(doca_error_t, doca_dev_rep_open, (struct doca_devinfo_rep *, struct doca_dev_rep **))
STABLE(doca_error_t, doca_dev_rep_close, (struct doca_dev_rep *))
STABLE(struct doca_devinfo *, doca_dev_as_devinfo, (const struct doca_dev *))
STABLE(struct doca_devinfo_rep *, doca_dev_rep_as_devinfo, (struct doca_dev_rep *))
STABLE(doca_error_t, doca_devinfo_get_pci_addr_str, (const struct doca_devinfo *, char *))
STABLE(doca_error_t, doca_devinfo_is_equal_pci_addr,
       (const struct doca_devinfo *, const char *, uint8_t *))
STABLE(doca_error_t, doca_devinfo_get_ipv4_addr, (const struct doca_devinfo *, uint8_t *, uint32_t))
STABLE(doca_error_t, doca_devinfo_get_ipv6_addr, (const struct doca_devinfo *, uint8_t *, uint32_t))
STABLE(doca_error_t, doca_devinfo_get_mac_addr, (const struct doca_devinfo *, uint8_t *, uint32_t))
STABLE(doca_error_t, doca_devinfo_get_iface_name, (const struct doca_devinfo *, char *, uint32_t))
STABLE(doca_error_t, doca_devinfo_get_ibdev_name, (const struct doca_devinfo *, char *, uint32_t))
STABLE(doca_error_t, doca_devinfo_get_lid, (const struct doca_devinfo *, uint16_t *))
DIFFERS(doca_error_t, doca_devinfo_get_active_rate, (const struct doca_devinfo *, double *),
        doca_error_t, doca_devinfo_get_active_rate, (const struct doca_devinfo *, uint64_t *))
NEW(doca_error_t, doca_devinfo_get_vhca_id, (const struct doca_devinfo *, uint16_t *))
STABLE(doca_error_t, doca_devinfo_rep_cap_is_filter_all_supported,
       (const struct doca_devinfo *, uint8_t *))
STABLE(doca_error_t, doca_devinfo_rep_cap_is_filter_net_supported,
       (const struct doca_devinfo *, uint8_t *))
STABLE(doca_error_t, doca_devinfo_rep_cap_is_filter_emulated_supported,
       (const struct doca_devinfo *, uint8_t *))
STABLE(doca_error_t, doca_devinfo_rep_get_vuid, (const struct doca_devinfo_rep *, char *, uint32_t))
STABLE(doca_error_t, doca_devinfo_rep_get_pci_addr_str, (const struct doca_devinfo_rep *, char *))
STABLE(doca_error_t, doca_devinfo_rep_get_pci_func_type,
       (const struct doca_devinfo_rep *, enum doca_pci_func_type *))
STABLE(doca_error_t, doca_devinfo_rep_get_is_hotplug, (const struct doca_devinfo_rep *, uint8_t *))
NEW(doca_error_t, doca_devinfo_rep_get_iface_name,
    (const struct doca_devinfo_rep *, char *, uint32_t))
NEW(doca_error_t, doca_devinfo_rep_get_vhca_id, (const struct doca_devinfo_rep *, uint16_t *))
STABLE(doca_error_t, doca_devinfo_rep_is_equal_pci_addr,
       (const struct doca_devinfo_rep *, const char *, uint8_t *))

/* mmap */
STABLE(doca_error_t, doca_mmap_create, (struct doca_mmap **))
STABLE(doca_error_t, doca_mmap_destroy, (struct doca_mmap *))
STABLE(doca_error_t, doca_mmap_start, (struct doca_mmap *))
STABLE(doca_error_t, doca_mmap_stop, (struct doca_mmap *))
STABLE(doca_error_t, doca_mmap_add_dev, (struct doca_mmap *, struct doca_dev *))
STABLE(doca_error_t, doca_mmap_rm_dev, (struct doca_mmap *, struct doca_dev *))
STABLE(doca_error_t, doca_mmap_export_pci,
       (struct doca_mmap *, const struct doca_dev *, const void **, size_t *))
STABLE(doca_error_t, doca_mmap_export_rdma,
       (struct doca_mmap *, const struct doca_dev *, const void **, size_t *))
STABLE(doca_error_t, doca_mmap_create_from_export,
       (const union doca_data *, const void *, size_t, struct doca_dev *, struct doca_mmap **))
STABLE(doca_error_t, doca_mmap_set_memrange, (struct doca_mmap *, void *, size_t))
STABLE(doca_error_t, doca_mmap_set_dmabuf_memrange,
       (struct doca_mmap *, int, void *, size_t, size_t))
STABLE(doca_error_t, doca_mmap_get_memrange, (const struct doca_mmap *, void **, size_t *))
STABLE(doca_error_t, doca_mmap_set_free_cb,
       (struct doca_mmap *, doca_mmap_memrange_free_cb_t *, void *))
STABLE(doca_error_t, doca_mmap_get_user_data, (const struct doca_mmap *, union doca_data *))
STABLE(doca_error_t, doca_mmap_get_max_num_devices, (const struct doca_mmap *, uint32_t *))
STABLE(doca_error_t, doca_mmap_get_num_bufs, (const struct doca_mmap *, uint32_t *))
STABLE(doca_error_t, doca_mmap_get_exported, (const struct doca_mmap *, uint8_t *))
STABLE(doca_error_t, doca_mmap_get_from_export, (const struct doca_mmap *, uint8_t *))
STABLE(doca_error_t, doca_mmap_set_max_num_devices, (struct doca_mmap *, uint32_t))
STABLE(doca_error_t, doca_mmap_set_permissions, (struct doca_mmap *, uint32_t))
STABLE(doca_error_t, doca_mmap_set_user_data, (struct doca_mmap *, union doca_data))
STABLE(doca_error_t, doca_mmap_cap_is_export_pci_supported,
       (const struct doca_devinfo *, uint8_t *))
STABLE(doca_error_t, doca_mmap_cap_is_create_from_export_pci_supported,
       (const struct doca_devinfo *, uint8_t *))
NEW(doca_error_t, doca_mmap_enable_thread_safety, (struct doca_mmap *))

/* buf */
STABLE(doca_error_t, doca_buf_inc_refcount, (struct doca_buf *, uint16_t *))
STABLE(doca_error_t, doca_buf_dec_refcount, (struct doca_buf *, uint16_t *))
STABLE(doca_error_t, doca_buf_get_refcount, (const struct doca_buf *, uint16_t *))
STABLE(doca_error_t, doca_buf_get_len, (const struct doca_buf *, size_t *))
STABLE(doca_error_t, doca_buf_get_head, (const struct doca_buf *, void **))
STABLE(doca_error_t, doca_buf_get_data_len, (const struct doca_buf *, size_t *))
STABLE(doca_error_t, doca_buf_get_data, (const struct doca_buf *, void **))
STABLE(doca_error_t, doca_buf_set_data, (struct doca_buf *, void *, size_t))
COMCH(doca_error_t, doca_buf_set_data_len, (struct doca_buf *, size_t))
STABLE(doca_error_t, doca_buf_reset_data_len, (struct doca_buf *))
STABLE(doca_error_t, doca_buf_get_next_in_list, (struct doca_buf *, struct doca_buf **))
STABLE(doca_error_t, doca_buf_get_last_in_list, (struct doca_buf *, struct doca_buf **))
STABLE(doca_error_t, doca_buf_is_last_in_list, (const struct doca_buf *, uint8_t *))
STABLE(doca_error_t, doca_buf_is_first_in_list, (const struct doca_buf *, uint8_t *))
STABLE(doca_error_t, doca_buf_is_in_list, (const struct doca_buf *, uint8_t *))
STABLE(doca_error_t, doca_buf_get_list_len, (const struct doca_buf *, uint32_t *))
STABLE(doca_error_t, doca_buf_chain_list, (struct doca_buf *, struct doca_buf *))
NEW(doca_error_t, doca_buf_chain_list_tail,
    (struct doca_buf *, struct doca_buf *, struct doca_buf *))
STABLE(doca_error_t, doca_buf_unchain_list, (struct doca_buf *, struct doca_buf *))

/* buf inventory */
STABLE(doca_error_t, doca_buf_inventory_create, (size_t, struct doca_buf_inventory **))
STABLE(doca_error_t, doca_buf_inventory_destroy, (struct doca_buf_inventory *))
STABLE(doca_error_t, doca_buf_inventory_start, (struct doca_buf_inventory *))
STABLE(doca_error_t, doca_buf_inventory_stop, (struct doca_buf_inventory *))
STABLE(doca_error_t, doca_buf_inventory_buf_get_by_args,
       (struct doca_buf_inventory *, struct doca_mmap *, void *, size_t, void *, size_t,
        struct doca_buf **))
STABLE(doca_error_t, doca_buf_inventory_buf_dup,
       (struct doca_buf_inventory *, const struct doca_buf *, struct doca_buf **))
STABLE(doca_error_t, doca_buf_inventory_set_user_data,
       (struct doca_buf_inventory *, union doca_data))
STABLE(doca_error_t, doca_buf_inventory_get_num_elements,
       (const struct doca_buf_inventory *, uint32_t *))
STABLE(doca_error_t, doca_buf_inventory_get_num_free_elements,
       (const struct doca_buf_inventory *, uint32_t *))
STABLE(doca_error_t, doca_buf_inventory_get_user_data,
       (const struct doca_buf_inventory *, union doca_data *))
NEW(doca_error_t, doca_buf_inventory_expand, (struct doca_buf_inventory *, uint32_t))
STABLE(doca_error_t, doca_buf_inventory_buf_get_by_addr,
       (struct doca_buf_inventory *, struct doca_mmap *, void *, size_t, struct doca_buf **))
STABLE(doca_error_t, doca_buf_inventory_buf_get_by_data,
       (struct doca_buf_inventory *, struct doca_mmap *, void *, size_t, struct doca_buf **))

/* pe */
STABLE(doca_error_t, doca_pe_create, (struct doca_pe **))
STABLE(doca_error_t, doca_pe_destroy, (struct doca_pe *))
STABLE(uint8_t, doca_pe_progress, (struct doca_pe *))
STABLE(doca_error_t, doca_pe_get_notification_handle,
       (const struct doca_pe *, doca_notification_handle_t *))
STABLE(doca_error_t, doca_pe_clear_notification, (struct doca_pe *, doca_notification_handle_t))
STABLE(doca_error_t, doca_pe_request_notification, (struct doca_pe *))
STABLE(doca_error_t, doca_pe_get_num_inflight_tasks, (const struct doca_pe *, size_t *))
STABLE(doca_error_t, doca_task_submit, (struct doca_task *))
NEW(doca_error_t, doca_task_submit_ex, (struct doca_task *, uint32_t))
STABLE(doca_error_t, doca_task_try_submit, (struct doca_task *))
STABLE(void, doca_task_free, (struct doca_task *))
STABLE(doca_error_t, doca_task_get_status, (const struct doca_task *))
STABLE(void, doca_task_set_user_data, (struct doca_task *, union doca_data))
STABLE(union doca_data, doca_task_get_user_data, (const struct doca_task *))
STABLE(struct doca_ctx *, doca_task_get_ctx, (const struct doca_task *))
STABLE(doca_error_t, doca_pe_connect_ctx, (struct doca_pe *, struct doca_ctx *))
NEW(doca_error_t, doca_pe_set_event_mode, (struct doca_pe *, enum doca_pe_event_mode))

/* ctx */
STABLE(doca_error_t, doca_ctx_start, (struct doca_ctx *))
STABLE(doca_error_t, doca_ctx_stop, (struct doca_ctx *))
STABLE(doca_error_t, doca_ctx_get_num_inflight_tasks, (const struct doca_ctx *, size_t *))
EXPERIMENTAL(doca_error_t, doca_ctx_set_datapath_on_gpu, (struct doca_ctx *, struct doca_gpu *))
STABLE(doca_error_t, doca_ctx_set_user_data, (struct doca_ctx *, union doca_data))
STABLE(doca_error_t, doca_ctx_get_user_data, (const struct doca_ctx *, union doca_data *))
STABLE(doca_error_t, doca_ctx_set_state_changed_cb,
       (struct doca_ctx *, doca_ctx_state_changed_callback_t))
STABLE(doca_error_t, doca_ctx_get_state, (const struct doca_ctx *, enum doca_ctx_states *))
NEW(void, doca_ctx_flush_tasks, (struct doca_ctx *))
NEW(doca_error_t, doca_ctx_set_completion_vector, (struct doca_ctx *, uint32_t))
NEW(doca_error_t, doca_ctx_cap_get_num_completion_vectors,
    (const struct doca_devinfo *, uint32_t *))

/* dma */
STABLE(doca_error_t, doca_dma_create, (struct doca_dev *, struct doca_dma **))
STABLE(doca_error_t, doca_dma_destroy, (struct doca_dma *))
STABLE(doca_error_t, doca_dma_cap_task_memcpy_is_supported, (const struct doca_devinfo *))
STABLE(struct doca_ctx *, doca_dma_as_ctx, (struct doca_dma *))
STABLE(doca_error_t, doca_dma_cap_get_max_num_tasks, (struct doca_dma *, uint32_t *))
STABLE(doca_error_t, doca_dma_cap_task_memcpy_get_max_buf_list_len,
       (const struct doca_devinfo *, uint32_t *))
STABLE(doca_error_t, doca_dma_cap_task_memcpy_get_max_buf_size,
       (const struct doca_devinfo *, uint64_t *))
STABLE(doca_error_t, doca_dma_task_memcpy_set_conf,
       (struct doca_dma *, doca_dma_task_memcpy_completion_cb_t,
        doca_dma_task_memcpy_completion_cb_t, uint32_t))
STABLE(doca_error_t, doca_dma_task_memcpy_alloc_init,
       (struct doca_dma *, const struct doca_buf *, struct doca_buf *, union doca_data,
        struct doca_dma_task_memcpy **))
STABLE(struct doca_task *, doca_dma_task_memcpy_as_task, (struct doca_dma_task_memcpy *))
STABLE(void, doca_dma_task_memcpy_set_src, (struct doca_dma_task_memcpy *, const struct doca_buf *))
STABLE(const struct doca_buf *, doca_dma_task_memcpy_get_src, (const struct doca_dma_task_memcpy *))
STABLE(void, doca_dma_task_memcpy_set_dst, (struct doca_dma_task_memcpy *, struct doca_buf *))
STABLE(struct doca_buf *, doca_dma_task_memcpy_get_dst, (const struct doca_dma_task_memcpy *))
NEW(doca_error_t, doca_dma_get_gpu_handle, (struct doca_dma *, struct doca_gpu_dma **))

/* comch */
COMCH(doca_error_t, doca_comch_connection_set_user_data,
      (struct doca_comch_connection *, union doca_data))
COMCH(union doca_data, doca_comch_connection_get_user_data, (const struct doca_comch_connection *))
COMCH(struct doca_comch_server *, doca_comch_server_get_server_ctx,
      (const struct doca_comch_connection *))
COMCH(struct doca_comch_client *, doca_comch_client_get_client_ctx,
      (const struct doca_comch_connection *))
COMCH(doca_error_t, doca_comch_cap_get_max_name_len, (const struct doca_devinfo *, uint32_t *))
COMCH(doca_error_t, doca_comch_cap_get_max_msg_size, (const struct doca_devinfo *, uint32_t *))
COMCH(doca_error_t, doca_comch_cap_get_max_recv_queue_size,
      (const struct doca_devinfo *, uint32_t *))
COMCH(doca_error_t, doca_comch_cap_get_max_clients, (const struct doca_devinfo *, uint32_t *))
COMCH(doca_error_t, doca_comch_server_create,
      (struct doca_dev *, struct doca_dev_rep *, const char *, struct doca_comch_server **))
COMCH(doca_error_t, doca_comch_server_destroy, (struct doca_comch_server *))
COMCH(doca_error_t, doca_comch_cap_server_is_supported, (const struct doca_devinfo *))
COMCH(doca_error_t, doca_comch_server_set_max_msg_size, (struct doca_comch_server *, uint32_t))
COMCH(doca_error_t, doca_comch_server_get_max_msg_size,
      (const struct doca_comch_server *, uint32_t *))
COMCH(doca_error_t, doca_comch_server_set_recv_queue_size, (struct doca_comch_server *, uint32_t))
COMCH(doca_error_t, doca_comch_server_get_recv_queue_size,
      (const struct doca_comch_server *, uint32_t *))
COMCH(doca_error_t, doca_comch_server_get_device,
      (const struct doca_comch_server *, struct doca_dev **))
DIFFERS(doca_error_t, doca_comch_server_get_device_repr,
        (const struct doca_comch_server *, struct doca_dev_rep **), doca_error_t,
        doca_comch_server_get_device_rep,
        (const struct doca_comch_server *, struct doca_dev_rep **))
COMCH(struct doca_ctx *, doca_comch_server_as_ctx, (struct doca_comch_server *))
COMCH(doca_error_t, doca_comch_server_disconnect,
      (struct doca_comch_server *, struct doca_comch_connection *))
COMCH(doca_error_t, doca_comch_client_create,
      (struct doca_dev *, const char *, struct doca_comch_client **))
COMCH(doca_error_t, doca_comch_client_destroy, (struct doca_comch_client *))
COMCH(doca_error_t, doca_comch_cap_client_is_supported, (const struct doca_devinfo *))
COMCH(doca_error_t, doca_comch_client_set_max_msg_size, (struct doca_comch_client *, uint32_t))
COMCH(doca_error_t, doca_comch_client_get_max_msg_size,
      (const struct doca_comch_client *, uint32_t *))
COMCH(doca_error_t, doca_comch_client_set_recv_queue_size, (struct doca_comch_client *, uint32_t))
COMCH(doca_error_t, doca_comch_client_get_recv_queue_size,
      (const struct doca_comch_client *, uint32_t *))
COMCH(doca_error_t, doca_comch_client_get_device,
      (const struct doca_comch_client *, struct doca_dev **))
COMCH(struct doca_ctx *, doca_comch_client_as_ctx, (struct doca_comch_client *))
COMCH(doca_error_t, doca_comch_client_get_connection,
      (const struct doca_comch_client *, struct doca_comch_connection **))
COMCH(doca_error_t, doca_comch_cap_get_max_send_tasks, (const struct doca_devinfo *, uint32_t *))
COMCH(doca_error_t, doca_comch_server_task_send_set_conf,
      (struct doca_comch_server *, doca_comch_task_send_completion_cb_t,
       doca_comch_task_send_completion_cb_t, uint32_t))
COMCH(doca_error_t, doca_comch_client_task_send_set_conf,
      (struct doca_comch_client *, doca_comch_task_send_completion_cb_t,
       doca_comch_task_send_completion_cb_t, uint32_t))
COMCH(doca_error_t, doca_comch_server_task_send_alloc_init,
      (struct doca_comch_server *, struct doca_comch_connection *, const void *, uint32_t,
       struct doca_comch_task_send **))
COMCH(doca_error_t, doca_comch_client_task_send_alloc_init,
      (struct doca_comch_client *, struct doca_comch_connection *, const void *, uint32_t,
       struct doca_comch_task_send **))
COMCH(struct doca_task *, doca_comch_task_send_as_task, (struct doca_comch_task_send *))
COMCH(doca_error_t, doca_comch_server_event_msg_recv_register,
      (struct doca_comch_server *, doca_comch_event_msg_recv_cb_t))
COMCH(doca_error_t, doca_comch_client_event_msg_recv_register,
      (struct doca_comch_client *, doca_comch_event_msg_recv_cb_t))
DIFFERS(doca_error_t, doca_comch_server_event_connection_register,
        (struct doca_comch_server *, doca_comch_event_connection_status_changed_cb_t,
         doca_comch_event_connection_status_changed_cb_t),
        doca_error_t, doca_comch_server_event_connection_status_changed_register,
        (struct doca_comch_server *, doca_comch_event_connection_status_changed_cb_t,
         doca_comch_event_connection_status_changed_cb_t))
COMCH(doca_error_t, doca_comch_connection_update_info, (struct doca_comch_connection *))
COMCH(doca_error_t, doca_comch_connection_get_counter,
      (const struct doca_comch_connection *, enum doca_comch_counter, uint64_t *))
COMCH(doca_error_t, doca_comch_server_event_consumer_register,
      (struct doca_comch_server *, doca_comch_event_consumer_cb_t, doca_comch_event_consumer_cb_t))
COMCH(doca_error_t, doca_comch_client_event_consumer_register,
      (struct doca_comch_client *, doca_comch_event_consumer_cb_t, doca_comch_event_consumer_cb_t))

/* comch consumer */
COMCH(doca_error_t, doca_comch_consumer_create,
      (struct doca_comch_connection *, struct doca_mmap *, struct doca_comch_consumer **))
COMCH(doca_error_t, doca_comch_consumer_destroy, (struct doca_comch_consumer *))
COMCH(doca_error_t, doca_comch_consumer_cap_is_supported, (const struct doca_devinfo *))
COMCH(doca_error_t, doca_comch_consumer_get_id, (const struct doca_comch_consumer *, uint32_t *))
COMCH(doca_error_t, doca_comch_consumer_cap_get_max_num_tasks,
      (const struct doca_devinfo *, uint32_t *))
COMCH(doca_error_t, doca_comch_consumer_cap_get_max_buf_size,
      (const struct doca_devinfo *, uint32_t *))
COMCH(doca_error_t, doca_comch_consumer_cap_get_max_buf_list_len,
      (const struct doca_devinfo *, uint32_t *))
COMCH(doca_error_t, doca_comch_consumer_cap_get_max_consumers,
      (const struct doca_devinfo *, uint32_t *))
COMCH(doca_error_t, doca_comch_consumer_cap_get_max_imm_data_len,
      (const struct doca_devinfo *, uint32_t *))
COMCH(doca_error_t, doca_comch_consumer_get_imm_data_len,
      (const struct doca_comch_consumer *, uint32_t *))
COMCH(doca_error_t, doca_comch_consumer_set_imm_data_len, (struct doca_comch_consumer *, uint32_t))
COMCH(struct doca_ctx *, doca_comch_consumer_as_ctx, (struct doca_comch_consumer *))
COMCH(doca_error_t, doca_comch_consumer_task_post_recv_set_conf,
      (struct doca_comch_consumer *, doca_comch_consumer_task_post_recv_completion_cb_t,
       doca_comch_consumer_task_post_recv_completion_cb_t, uint32_t))
COMCH(doca_error_t, doca_comch_consumer_task_post_recv_alloc_init,
      (struct doca_comch_consumer *, struct doca_buf *,
       struct doca_comch_consumer_task_post_recv **))
DIFFERS(struct doca_buf *, doca_comch_consumer_task_post_recv_get_buf,
        (struct doca_comch_consumer_task_post_recv *), struct doca_buf *,
        doca_comch_consumer_task_post_recv_get_buf,
        (const struct doca_comch_consumer_task_post_recv *))
COMCH(void, doca_comch_consumer_task_post_recv_set_buf,
      (struct doca_comch_consumer_task_post_recv *, struct doca_buf *))
DIFFERS(uint32_t, doca_comch_consumer_task_post_recv_get_producer_id,
        (struct doca_comch_consumer_task_post_recv *), uint32_t,
        doca_comch_consumer_task_post_recv_get_producer_id,
        (const struct doca_comch_consumer_task_post_recv *))
DIFFERS(uint8_t *, doca_comch_consumer_task_post_recv_get_imm_data,
        (struct doca_comch_consumer_task_post_recv *), const uint8_t *,
        doca_comch_consumer_task_post_recv_get_imm_data,
        (const struct doca_comch_consumer_task_post_recv *))
DIFFERS(uint32_t, doca_comch_consumer_task_post_recv_get_imm_data_len,
        (struct doca_comch_consumer_task_post_recv *), uint32_t,
        doca_comch_consumer_task_post_recv_get_imm_data_len,
        (const struct doca_comch_consumer_task_post_recv *))
COMCH(struct doca_task *, doca_comch_consumer_task_post_recv_as_task,
      (struct doca_comch_consumer_task_post_recv *))

/* comch producer */
COMCH(doca_error_t, doca_comch_producer_create,
      (struct doca_comch_connection *, struct doca_comch_producer **))
COMCH(doca_error_t, doca_comch_producer_destroy, (struct doca_comch_producer *))
COMCH(doca_error_t, doca_comch_producer_cap_is_supported, (const struct doca_devinfo *))
COMCH(doca_error_t, doca_comch_producer_get_id, (const struct doca_comch_producer *, uint32_t *))
COMCH(doca_error_t, doca_comch_producer_cap_get_max_num_tasks,
      (const struct doca_devinfo *, uint32_t *))
COMCH(doca_error_t, doca_comch_producer_cap_get_max_buf_size,
      (const struct doca_devinfo *, uint32_t *))
COMCH(doca_error_t, doca_comch_producer_cap_get_max_buf_list_len,
      (const struct doca_devinfo *, uint32_t *))
COMCH(doca_error_t, doca_comch_producer_cap_get_max_producers,
      (const struct doca_devinfo *, uint32_t *))
COMCH(struct doca_ctx *, doca_comch_producer_as_ctx, (struct doca_comch_producer *))
COMCH(doca_error_t, doca_comch_producer_task_send_set_conf,
      (struct doca_comch_producer *, doca_comch_producer_task_send_completion_cb_t,
       doca_comch_producer_task_send_completion_cb_t, uint32_t))
COMCH(doca_error_t, doca_comch_producer_task_send_alloc_init,
      (struct doca_comch_producer *, const struct doca_buf *, uint8_t *, uint32_t, uint32_t,
       struct doca_comch_producer_task_send **))
DIFFERS(const struct doca_buf *, doca_comch_producer_task_send_get_buf,
        (struct doca_comch_producer_task_send *), const struct doca_buf *,
        doca_comch_producer_task_send_get_buf, (const struct doca_comch_producer_task_send *))
COMCH(void, doca_comch_producer_task_send_set_buf,
      (struct doca_comch_producer_task_send *, const struct doca_buf *))
DIFFERS(uint32_t, doca_comch_producer_task_send_get_consumer_id,
        (struct doca_comch_producer_task_send *), uint32_t,
        doca_comch_producer_task_send_get_consumer_id,
        (const struct doca_comch_producer_task_send *))
COMCH(void, doca_comch_producer_task_send_set_consumer_id,
      (struct doca_comch_producer_task_send *, const uint32_t))
DIFFERS(uint8_t *, doca_comch_producer_task_send_get_imm_data,
        (struct doca_comch_producer_task_send *), uint8_t *,
        doca_comch_producer_task_send_get_imm_data, (const struct doca_comch_producer_task_send *))
DIFFERS(uint32_t, doca_comch_producer_task_send_get_imm_data_len,
        (struct doca_comch_producer_task_send *), uint32_t,
        doca_comch_producer_task_send_get_imm_data_len,
        (const struct doca_comch_producer_task_send *))
COMCH(void, doca_comch_producer_task_send_set_imm_data,
      (struct doca_comch_producer_task_send *, uint8_t *, uint32_t))
COMCH(struct doca_task *, doca_comch_producer_task_send_as_task,
      (struct doca_comch_producer_task_send *))

/* erasure coding */
EXPERIMENTAL(doca_error_t, doca_ec_cap_task_galois_mul_is_supported, (const struct doca_devinfo *))
EXPERIMENTAL(doca_error_t, doca_ec_task_galois_mul_set_conf,
             (struct doca_ec *, doca_ec_task_galois_mul_completion_cb_t,
              doca_ec_task_galois_mul_completion_cb_t, uint32_t))
EXPERIMENTAL(doca_error_t, doca_ec_task_galois_mul_allocate_init,
             (struct doca_ec *, const struct doca_ec_matrix *, const struct doca_buf *,
              struct doca_buf *, union doca_data, struct doca_ec_task_galois_mul **))
EXPERIMENTAL(struct doca_task *, doca_ec_task_galois_mul_as_task,
             (struct doca_ec_task_galois_mul *))
EXPERIMENTAL(void, doca_ec_task_galois_mul_set_coding_matrix,
             (struct doca_ec_task_galois_mul *, const struct doca_ec_matrix *))
EXPERIMENTAL(const struct doca_ec_matrix *, doca_ec_task_galois_mul_get_coding_matrix,
             (const struct doca_ec_task_galois_mul *))
EXPERIMENTAL(void, doca_ec_task_galois_mul_set_src_buf,
             (struct doca_ec_task_galois_mul *, const struct doca_buf *))
EXPERIMENTAL(const struct doca_buf *, doca_ec_task_galois_mul_get_src_buf,
             (const struct doca_ec_task_galois_mul *))
EXPERIMENTAL(void, doca_ec_task_galois_mul_set_dst_buf,
             (struct doca_ec_task_galois_mul *, struct doca_buf *))
EXPERIMENTAL(struct doca_buf *, doca_ec_task_galois_mul_get_dst_buf,
             (const struct doca_ec_task_galois_mul *))
EXPERIMENTAL(doca_error_t, doca_ec_cap_task_create_is_supported, (const struct doca_devinfo *))
EXPERIMENTAL(doca_error_t, doca_ec_task_create_set_conf,
             (struct doca_ec *, doca_ec_task_create_completion_cb_t,
              doca_ec_task_create_completion_cb_t, uint32_t))
EXPERIMENTAL(doca_error_t, doca_ec_task_create_allocate_init,
             (struct doca_ec *, const struct doca_ec_matrix *, const struct doca_buf *,
              struct doca_buf *, union doca_data, struct doca_ec_task_create **))
EXPERIMENTAL(struct doca_task *, doca_ec_task_create_as_task, (struct doca_ec_task_create *))
EXPERIMENTAL(void, doca_ec_task_create_set_coding_matrix,
             (struct doca_ec_task_create *, const struct doca_ec_matrix *))
EXPERIMENTAL(const struct doca_ec_matrix *, doca_ec_task_create_get_coding_matrix,
             (const struct doca_ec_task_create *))
EXPERIMENTAL(void, doca_ec_task_create_set_original_data_blocks,
             (struct doca_ec_task_create *, const struct doca_buf *))
EXPERIMENTAL(const struct doca_buf *, doca_ec_task_create_get_original_data_blocks,
             (const struct doca_ec_task_create *))
EXPERIMENTAL(void, doca_ec_task_create_set_rdnc_blocks,
             (struct doca_ec_task_create *, struct doca_buf *))
EXPERIMENTAL(struct doca_buf *, doca_ec_task_create_get_rdnc_blocks,
             (const struct doca_ec_task_create *))
EXPERIMENTAL(doca_error_t, doca_ec_cap_task_update_is_supported, (const struct doca_devinfo *))
EXPERIMENTAL(doca_error_t, doca_ec_task_update_set_conf,
             (struct doca_ec *, doca_ec_task_update_completion_cb_t,
              doca_ec_task_update_completion_cb_t, uint32_t))
EXPERIMENTAL(doca_error_t, doca_ec_task_update_allocate_init,
             (struct doca_ec *, const struct doca_ec_matrix *, const struct doca_buf *,
              struct doca_buf *, union doca_data, struct doca_ec_task_update **))
EXPERIMENTAL(struct doca_task *, doca_ec_task_update_as_task, (struct doca_ec_task_update *))
EXPERIMENTAL(void, doca_ec_task_update_set_update_matrix,
             (struct doca_ec_task_update *, const struct doca_ec_matrix *))
EXPERIMENTAL(const struct doca_ec_matrix *, doca_ec_task_update_get_update_matrix,
             (const struct doca_ec_task_update *))
EXPERIMENTAL(void, doca_ec_task_update_set_original_updated_and_rdnc_blocks,
             (struct doca_ec_task_update *, const struct doca_buf *))
EXPERIMENTAL(const struct doca_buf *, doca_ec_task_update_get_original_updated_and_rdnc_blocks,
             (const struct doca_ec_task_update *))
EXPERIMENTAL(void, doca_ec_task_update_set_updated_rdnc_blocks,
             (struct doca_ec_task_update *, struct doca_buf *))
EXPERIMENTAL(struct doca_buf *, doca_ec_task_update_get_updated_rdnc_blocks,
             (const struct doca_ec_task_update *))
EXPERIMENTAL(doca_error_t, doca_ec_cap_task_recover_is_supported, (const struct doca_devinfo *))
EXPERIMENTAL(doca_error_t, doca_ec_task_recover_set_conf,
             (struct doca_ec *, doca_ec_task_recover_completion_cb_t,
              doca_ec_task_recover_completion_cb_t, uint32_t))
EXPERIMENTAL(doca_error_t, doca_ec_task_recover_allocate_init,
             (struct doca_ec *, const struct doca_ec_matrix *, const struct doca_buf *,
              struct doca_buf *, union doca_data, struct doca_ec_task_recover **))
EXPERIMENTAL(struct doca_task *, doca_ec_task_recover_as_task, (struct doca_ec_task_recover *))
EXPERIMENTAL(void, doca_ec_task_recover_set_recover_matrix,
             (struct doca_ec_task_recover *, const struct doca_ec_matrix *))
EXPERIMENTAL(const struct doca_ec_matrix *, doca_ec_task_recover_get_recover_matrix,
             (const struct doca_ec_task_recover *))
EXPERIMENTAL(void, doca_ec_task_recover_set_available_blocks,
             (struct doca_ec_task_recover *, const struct doca_buf *))
EXPERIMENTAL(const struct doca_buf *, doca_ec_task_recover_get_available_blocks,
             (const struct doca_ec_task_recover *))
EXPERIMENTAL(void, doca_ec_task_recover_set_recovered_data_blocks,
             (struct doca_ec_task_recover *, struct doca_buf *))
EXPERIMENTAL(struct doca_buf *, doca_ec_task_recover_get_recovered_data,
             (const struct doca_ec_task_recover *))
EXPERIMENTAL(doca_error_t, doca_ec_create, (struct doca_dev *, struct doca_ec **))
EXPERIMENTAL(doca_error_t, doca_ec_destroy, (struct doca_ec *))
EXPERIMENTAL(struct doca_ctx *, doca_ec_as_ctx, (struct doca_ec *))
EXPERIMENTAL(doca_error_t, doca_ec_cap_get_max_block_size,
             (const struct doca_devinfo *, uint64_t *))
EXPERIMENTAL(doca_error_t, doca_ec_cap_get_max_buf_list_len,
             (const struct doca_devinfo *, uint32_t *))
EXPERIMENTAL(doca_error_t, doca_ec_matrix_create,
             (struct doca_ec *, enum doca_ec_matrix_type, size_t, size_t, struct doca_ec_matrix **))
EXPERIMENTAL(doca_error_t, doca_ec_matrix_create_from_raw,
             (struct doca_ec *, uint8_t *, size_t, size_t, struct doca_ec_matrix **))
EXPERIMENTAL(doca_error_t, doca_ec_matrix_create_update,
             (struct doca_ec *, const struct doca_ec_matrix *, uint32_t *, size_t,
              struct doca_ec_matrix **))
EXPERIMENTAL(doca_error_t, doca_ec_matrix_create_recover,
             (struct doca_ec *, const struct doca_ec_matrix *, uint32_t *, size_t,
              struct doca_ec_matrix **))
EXPERIMENTAL(doca_error_t, doca_ec_matrix_destroy, (struct doca_ec_matrix *))

/* argp */
EXPERIMENTAL(doca_error_t, doca_argp_init, (const char *, void *))
EXPERIMENTAL(doca_error_t, doca_argp_register_param, (struct doca_argp_param *))
EXPERIMENTAL(doca_error_t, doca_argp_register_version_callback, (doca_argp_param_cb_t))
EXPERIMENTAL(doca_error_t, doca_argp_register_validation_callback, (doca_argp_validation_cb_t))
EXPERIMENTAL(doca_error_t, doca_argp_start, (int, char **))
EXPERIMENTAL(doca_error_t, doca_argp_destroy, (void))
EXPERIMENTAL(void, doca_argp_usage, (void))
EXPERIMENTAL(doca_error_t, doca_argp_param_create, (struct doca_argp_param **))
EXPERIMENTAL(void, doca_argp_param_set_short_name, (struct doca_argp_param *, const char *))
EXPERIMENTAL(void, doca_argp_param_set_long_name, (struct doca_argp_param *, const char *))
EXPERIMENTAL(void, doca_argp_param_set_arguments, (struct doca_argp_param *, const char *))
EXPERIMENTAL(void, doca_argp_param_set_description, (struct doca_argp_param *, const char *))
EXPERIMENTAL(void, doca_argp_param_set_callback, (struct doca_argp_param *, doca_argp_param_cb_t))
EXPERIMENTAL(void, doca_argp_param_set_type, (struct doca_argp_param *, enum doca_argp_type))
EXPERIMENTAL(void, doca_argp_param_set_mandatory, (struct doca_argp_param *))
EXPERIMENTAL(doca_error_t, doca_argp_param_destroy, (struct doca_argp_param *))
EXPERIMENTAL(doca_error_t, doca_argp_get_log_level, (int *))
EXPERIMENTAL(doca_error_t, doca_argp_get_sdk_log_level, (int *))

/* argp, of the applications' common code */
EXPERIMENTAL(void, doca_argp_param_set_multiplicity, (struct doca_argp_param *))

/* version */
STABLE(const char *, doca_version, (void))
STABLE(const char *, doca_version_runtime, (void))
