//! The pages' files are embedded, so a server without them cannot be built by accident.

fn main() {
    println!("cargo::rerun-if-changed=assets/dist");
    println!("cargo::rerun-if-changed=migrations");
    if !std::path::Path::new("assets/dist/licences.txt").exists() {
        println!(
            "cargo::error=The pages' fonts, icons and scripts are not gathered yet: run `make assets`."
        );
    }
}
