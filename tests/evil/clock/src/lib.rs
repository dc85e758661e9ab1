//! A module that asks for what no module gets: a clock and a file, from WASI.

#[cfg(target_arch = "wasm32")]
mod wasi {
    //! The imports, and a use of each so that none is left out.
    #![expect(unsafe_code, reason = "exporting and importing by name is unsafe")]

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        safe fn clock_time_get(id: i32, precision: i64, time: *mut u64) -> i32;
        safe fn fd_read(file: i32, buffers: *const u8, count: i32, read: *mut u32) -> i32;
    }

    #[unsafe(export_name = "lakeward:transform/module@1.0.0#describe")]
    extern "C" fn describe() -> i32 {
        let mut time = 0;
        let mut read = 0;
        clock_time_get(0, 1, &raw mut time) + fd_read(0, std::ptr::null(), 0, &raw mut read)
    }
}
