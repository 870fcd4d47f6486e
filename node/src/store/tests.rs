use tearline_crdt::store::conformance::{StoreUnderTest, run_all};

use super::*;

const KEY: [u8; 32] = [0x11; 32];

struct UnderTest {
    dir: tempfile::TempDir,
    store: Option<SledStore>,
    limits: MergeLimits,
}

impl UnderTest {
    fn new(limits: MergeLimits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SledStore::open_with(dir.path(), &StoreKey::new(KEY), limits).unwrap();
        Self { dir, store: Some(store), limits }
    }
}

impl StoreUnderTest for UnderTest {
    fn store(&mut self) -> &mut dyn Store {
        self.store.as_mut().unwrap()
    }

    fn reopen(&mut self) {
        self.store = None;
        let key = StoreKey::new(KEY);
        self.store = Some(SledStore::open_with(self.dir.path(), &key, self.limits).unwrap());
    }

    fn raw_bytes(&mut self, space: Space, key: &[u8]) -> Vec<u8> {
        let shared = &self.store.as_ref().unwrap().shared;
        let layers = shared.layers.read().unwrap();
        match layers.find_durable(&shared.pages, &full_key(space, key)).unwrap() {
            Some(run::Slot::Stored(extent)) => {
                let file = fs::read(self.dir.path().join("values")).unwrap();
                file[extent.offset as usize..extent.end() as usize].to_vec()
            }
            other => panic!("a scrubbed value is not in the values file: {other:?}"),
        }
    }

    fn medium_holds(&mut self, needle: &[u8]) -> bool {
        files(self.dir.path()).iter().any(|path| {
            let bytes = fs::read(path).unwrap();
            // Any 16 bytes of it would be too much.
            needle.chunks_exact(16).any(|part| bytes.windows(16).any(|at| at == part))
        })
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Limits so low that nearly every flush merges.
const SMALL: MergeLimits =
    MergeLimits { recent_keys_max: 3, deltas_max: 2, placed_bytes_min: 10_000 };

#[test]
fn keeps_the_contract_while_nothing_is_merged() {
    run_all(&mut || Box::new(UnderTest::new(MergeLimits::default())));
}

#[test]
fn keeps_the_contract_while_everything_is_merged() {
    run_all(&mut || Box::new(UnderTest::new(SMALL)));
}
