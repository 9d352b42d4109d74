//! Compiles the `.proto` files without protoc: protox parses them, prost and pbjson generate.

use prost::Message;
use std::{env, error::Error, path::PathBuf};

const FILES: [&str; 6] = [
    "stream/models.proto",
    "stream/signal.proto",
    "stream/event.proto",
    "livekit/models.proto",
    "livekit/signal.proto",
    "livekit/data.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    prost_build::Config::new()
        .compile_well_known_types()
        .extern_path(".google.protobuf", "::pbjson_types")
        .bytes(["."])
        .compile_fds(descriptors.clone())?;
    let set = PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin");
    std::fs::write(&set, descriptors.encode_to_vec())?;
    pbjson_build::Builder::new()
        .register_descriptors(&descriptors.encode_to_vec())?
        .ignore_unknown_fields()
        .ignore_unknown_enum_variants()
        .build(&[".stream"])?;
    Ok(())
}
