//! Taking the census for many at once: five hundred plugins stopping together need a few passes over `/proc`, not
//! hundreds.

use std::{io, sync::Arc};

use tokio::{sync::Mutex, time::Instant};

use crate::runtime::census::Census;

/// Takes the census and shares it.
#[derive(Debug, Default)]
pub(super) struct CensusTaker(Mutex<Option<(Instant, Arc<Census>)>>);

impl CensusTaker {
    /// A census that began after this call.
    pub(super) async fn take(&self) -> io::Result<Arc<Census>> {
        let asked = Instant::now();
        let mut last = self.0.lock().await;
        if let Some((_, census)) = last.as_ref().filter(|(began, _)| *began >= asked) {
            return Ok(Arc::clone(census));
        }
        let began = Instant::now();
        let census = Arc::new(tokio::task::spawn_blocking(Census::take).await??);
        *last = Some((began, Arc::clone(&census)));
        Ok(census)
    }
}
