fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,liboffhook.so.0");
}
