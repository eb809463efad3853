//! Writes the Kotlin, Swift and Python sources from the built library. Behind the feature `bindgen`, so that the library
//! itself never carries the generator; `make bindings` says with which arguments.

fn main() {
    uniffi::uniffi_bindgen_main()
}
