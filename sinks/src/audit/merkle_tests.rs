//! The tree against a naive form of RFC 6962 and the vectors of the certificate-transparency project.

use std::{collections::HashMap, convert::Infallible};

use super::*;
use crate::audit::{
    layout::Layout,
    nodes::Nodes,
    tree::{TreeReader, TreeWriter},
};

/// RFC 6962, section 2.1, as it stands there: recursion over lists of leaves.
struct Naive {
    leaves: Vec<Hash>,
    roots: HashMap<(u64, u64), Hash>,
}

impl Naive {
    fn new(size: u64) -> Self {
        let leaves = (0..size).map(|index| leaf_hash(&entry(index))).collect();
        Self { leaves, roots: HashMap::new() }
    }

    fn root(&mut self, begin: u64, end: u64) -> Hash {
        if end == begin {
            return empty_root();
        }
        if end - begin == 1 {
            return self.leaves[begin as usize];
        }
        if let Some(root) = self.roots.get(&(begin, end)) {
            return *root;
        }
        let middle = begin + power_below(end - begin);
        let root = node_hash(&self.root(begin, middle), &self.root(middle, end));
        self.roots.insert((begin, end), root);
        root
    }

    /// PATH(m, D[n]).
    fn path(&mut self, index: u64, begin: u64, end: u64) -> Vec<Hash> {
        if end - begin == 1 {
            return Vec::new();
        }
        let k = power_below(end - begin);
        let (mut path, sibling) = if index < k {
            (self.path(index, begin, begin + k), self.root(begin + k, end))
        } else {
            (self.path(index - k, begin + k, end), self.root(begin, begin + k))
        };
        path.push(sibling);
        path
    }

    /// SUBPROOF(m, D[n], b).
    fn subproof(&mut self, from: u64, begin: u64, end: u64, whole: bool) -> Vec<Hash> {
        if from == end - begin {
            return if whole { Vec::new() } else { vec![self.root(begin, end)] };
        }
        let k = power_below(end - begin);
        let (mut proof, node) = if from <= k {
            (self.subproof(from, begin, begin + k, whole), self.root(begin + k, end))
        } else {
            (self.subproof(from - k, begin + k, end, false), self.root(begin, begin + k))
        };
        proof.push(node);
        proof
    }
}

/// The complete subtrees of a naive tree, for what is built on them.
impl Nodes for Naive {
    type Error = Infallible;

    fn subtree(&mut self, height: u32, position: u64) -> Result<Hash, Infallible> {
        Ok(self.root(position << height, (position + 1) << height))
    }
}

fn power_below(len: u64) -> u64 {
    let mut power = 1;
    while power * 2 < len {
        power *= 2;
    }
    power
}

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

fn right<T>(result: Result<T, Infallible>) -> T {
    let Ok(value) = result;
    value
}

const SIZES: u64 = 300;

#[test]
fn the_vectors_of_certificate_transparency_come_out() {
    let entries: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let hex = |hash: Hash| hash.map(|byte| format!("{byte:02x}")).concat();
    let mut edge = Edge::default();
    let mut naive = Naive { leaves: Vec::new(), roots: HashMap::new() };
    for (size, root) in (0..).zip(roots) {
        assert_eq!(hex(edge.root()), root, "size {size}");
        assert_eq!(hex(naive.root(0, size)), root, "size {size}");
        if let Some(entry) = entries.get(size as usize) {
            edge.push(leaf_hash(entry), |_, _| {});
            naive = Naive {
                leaves: entries[..=size as usize].iter().map(|entry| leaf_hash(entry)).collect(),
                roots: HashMap::new(),
            };
        }
    }
    // The proofs of the same test, by entry and size, and by two sizes.
    let hexes = |hashes: Vec<Hash>| hashes.into_iter().map(hex).collect::<Vec<_>>();
    assert_eq!(
        hexes(right(naive.inclusion(5, 8))),
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
    assert_eq!(
        hexes(right(naive.consistency(6, 8))),
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
}

#[test]
fn roots_grow_as_the_rfc_says() {
    let mut naive = Naive::new(SIZES);
    let mut edge = Edge::default();
    for size in 0..=SIZES {
        assert_eq!(edge.root(), naive.root(0, size), "size {size}");
        assert_eq!(right(naive.edge(size)), edge, "size {size}");
        assert_eq!(right(Nodes::root(&mut naive, size)), edge.root(), "size {size}");
        edge.push(leaf_hash(&entry(size)), |height, hash| {
            if size < SIZES {
                let position = size >> height;
                assert_eq!(right(naive.subtree(height, position)), *hash, "{height} {position}");
            }
        });
    }
}

#[test]
fn all_inclusion_proofs_are_those_of_the_rfc_and_hold() {
    let mut naive = Naive::new(SIZES);
    for size in 1..=SIZES {
        let root = naive.root(0, size);
        for index in 0..size {
            let path = right(naive.inclusion(index, size));
            assert_eq!(path, naive.path(index, 0, size), "{index} of {size}");
            let leaf = naive.leaves[index as usize];
            assert_eq!(inclusion_root(index, size, &leaf, &path), Some(root), "{index} of {size}");
        }
    }
}

#[test]
fn wrong_inclusion_proofs_are_refused() {
    let mut naive = Naive::new(SIZES);
    for size in (1..=40).chain([255, 256, 257]) {
        let root = naive.root(0, size);
        for index in 0..size {
            let path = right(naive.inclusion(index, size));
            let leaf = naive.leaves[index as usize];
            let holds = |index: u64, size: u64, leaf: &Hash, path: &[Hash]| {
                inclusion_root(index, size, leaf, path) == Some(root)
            };
            assert!(!holds(index, size, &[9; 32], &path), "another leaf");
            for other in (0..size).filter(|other| *other != index) {
                assert!(!holds(other, size, &leaf, &path), "entry {index} of {size} as {other}");
            }
            assert!(!holds(size, size, &leaf, &path), "behind the end");
            let longer = [&path[..], &[[0; 32]]].concat();
            assert!(!holds(index, size, &leaf, &longer), "a node too many");
            for at in 0..path.len() {
                let mut other = path.clone();
                other[at][31] ^= 1;
                assert!(!holds(index, size, &leaf, &other), "node {at} changed");
                other = path.clone();
                other.remove(at);
                assert!(!holds(index, size, &leaf, &other), "node {at} left out");
            }
        }
    }
}

#[test]
fn all_consistency_proofs_are_those_of_the_rfc_and_hold() {
    let mut naive = Naive::new(SIZES);
    for to in 0..=SIZES {
        let to_root = naive.root(0, to);
        for from in 0..=to {
            let from_root = naive.root(0, from);
            let proof = right(naive.consistency(from, to));
            let expected = if from == 0 { Vec::new() } else { naive.subproof(from, 0, to, true) };
            assert_eq!(proof, expected, "{from} to {to}");
            assert!(is_consistent(from, to, &from_root, &to_root, &proof), "{from} to {to}");
        }
    }
}

#[test]
fn wrong_consistency_proofs_are_refused() {
    let mut naive = Naive::new(SIZES);
    let sizes: Vec<u64> = (1..=33).chain([64, 255, 256, 257]).collect();
    for &to in &sizes {
        let to_root = naive.root(0, to);
        for &from in sizes.iter().filter(|from| **from < to) {
            let from_root = naive.root(0, from);
            let proof = right(naive.consistency(from, to));
            let holds = |from_root: &Hash, to_root: &Hash, proof: &[Hash]| {
                is_consistent(from, to, from_root, to_root, proof)
            };
            assert!(!holds(&[9; 32], &to_root, &proof), "{from} to {to}: another smaller root");
            assert!(!holds(&from_root, &[9; 32], &proof), "{from} to {to}: another larger root");
            assert!(!is_consistent(to, from, &to_root, &from_root, &proof), "backwards");
            let longer = [&proof[..], &[[0; 32]]].concat();
            assert!(!holds(&from_root, &to_root, &longer), "{from} to {to}: a node too many");
            for at in 0..proof.len() {
                let mut other = proof.clone();
                other[at][0] ^= 0x80;
                assert!(!holds(&from_root, &to_root, &other), "{from} to {to}: node {at} changed");
                other = proof.clone();
                other.remove(at);
                assert!(!holds(&from_root, &to_root, &other), "{from} to {to}: node {at} left out");
            }
        }
    }
    let empty = empty_root();
    assert!(is_consistent(0, 0, &empty, &empty, &[]));
    assert!(is_consistent(0, 5, &empty, &naive.root(0, 5), &[]));
    assert!(!is_consistent(0, 5, &[1; 32], &naive.root(0, 5), &[]));
    assert!(!is_consistent(5, 5, &empty, &naive.root(0, 5), &[]));
}

/// The files against the naive tree, over several tiles and a third file, written in uneven pieces.
#[test]
fn the_files_have_the_tree_at_every_level() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let layout = Layout::new(dir.path());
    std::fs::create_dir(layout.tree()).expect("made");
    let size = 65_536 + 700;
    let mut naive = Naive::new(size);
    let mut tree = TreeWriter::open(&layout, Edge::default()).expect("opens");
    let mut written = 0;
    for piece in (1_u64..).map(|round| round * 97 % 5_003) {
        let end = (written + piece).min(size);
        // An attempt that fails leaves bytes behind, which the next one writes over.
        for _ in 0..3 {
            tree.push([0xee; 32]);
        }
        tree.write().expect("writes");
        tree.rollback();
        for index in written..end {
            tree.push(naive.leaves[index as usize]);
        }
        tree.write().expect("writes");
        tree.commit();
        written = end;
        if written == size {
            break;
        }
    }
    tree.cut().expect("cuts");
    let lens: Vec<u64> = (0..4)
        .map(|level| std::fs::metadata(layout.level(level)).map_or(0, |found| found.len() / 32))
        .collect();
    assert_eq!(lens, [size, size / 256, size / 65_536, 0]);
    for at in [1, 2, 255, 256, 257, 511, 513, 4_097, 65_535, 65_536, 65_537, 66_000, size] {
        let mut reader = TreeReader::new(&layout);
        assert_eq!(reader.root(at).expect("reads"), naive.root(0, at), "size {at}");
        assert_eq!(reader.edge(at).expect("reads"), right(naive.edge(at)), "size {at}");
        for index in [0, at / 3, at / 2, at - 1] {
            let path = reader.inclusion(index, at).expect("reads");
            assert_eq!(path, naive.path(index, 0, at), "{index} of {at}");
        }
        for from in [1, at / 3 + 1, at / 2 + 1, at] {
            let proof = reader.consistency(from, at).expect("reads");
            assert_eq!(proof, naive.subproof(from, 0, at, true), "{from} to {at}");
        }
    }
    let error = TreeReader::new(&layout).root(size + 1).expect_err("is not there");
    assert!(error.to_string().contains("tree/level-0 is damaged at hash"), "{error}");
}
