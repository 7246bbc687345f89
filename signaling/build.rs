//! Makes the folder of the built pages, so that the server builds before the pages do, and notes when
//! either the pages or the migrations that are compiled in have changed.

fn main() -> std::io::Result<()> {
    std::fs::create_dir_all("../web-demo/dist")?;
    println!("cargo:rerun-if-changed=../web-demo/dist");
    println!("cargo:rerun-if-changed=migrations");
    Ok(())
}
