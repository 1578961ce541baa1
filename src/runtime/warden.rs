//! Scaffold.

/// Runs the warden.
///
/// # Errors
/// None.
pub fn run() -> std::io::Result<()> {
    Ok(())
}
