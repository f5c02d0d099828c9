//! Gives the corpora to their targets, built without any test, so that what is reached can be counted.

use std::path::Path;

use gneiss_core::fuzz::TARGETS;

fn main() -> std::io::Result<()> {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (name, target) in TARGETS {
        for entry in std::fs::read_dir(corpora.join(name))? {
            target(&std::fs::read(entry?.path())?);
        }
    }
    Ok(())
}
