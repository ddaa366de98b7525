//! Values of the two directions that are one value, which depends on the direction of the packet.
//!
//! A previous value of one direction is used for packets of that direction only. Two of them that are equal but for the
//! direction become one. Expressions over them are then equal, and so are accumulators but for the direction.

use std::collections::HashMap;

use super::program::{Expr, Program, Scope, Selection};

/// The maximum number of passes. A previous value of previous values needs one for each level.
const MAX_PASSES: usize = 16;

/// Merges previous values that are equal but for the direction, and shared values that are equal.
pub(super) fn merge(program: &mut Program) {
    for _ in 0..MAX_PASSES {
        let previous = previous_twins(program);
        let shared = equal_shared(program);
        let is_same = |map: &[usize]| map.iter().enumerate().all(|(n, new)| n == *new);
        if is_same(&previous) && is_same(&shared) {
            return;
        }
        retain(&mut program.previous, &previous);
        retain(&mut program.shared, &shared);
        let [previous, shared] = [places(&previous), places(&shared)];
        program.visit_mut(&mut |expr| match expr {
            Expr::Previous(n) => *n = previous[*n],
            Expr::Shared(n) => *n = shared[*n],
            _ => {}
        });
    }
}

/// Returns for each previous value the index of the one that replaces it, and changes those to one for each direction.
fn previous_twins(program: &mut Program) -> Vec<usize> {
    let all = &mut program.previous;
    let mut map: Vec<usize> = (0..all.len()).collect();
    let mut known: HashMap<String, usize> = HashMap::new();
    for n in 0..all.len() {
        let scope = all[n].packets.scope;
        if scope == Scope::Both {
            continue;
        }
        let key = |scope| {
            let packets = Selection {
                scope,
                ..all[n].packets.clone()
            };
            format!("{:?} {packets:?}", all[n].value)
        };
        let other = match scope {
            Scope::Src2Dst => Scope::Dst2Src,
            _ => Scope::Src2Dst,
        };
        match known.get(&key(other)) {
            Some(twin) if !all[*twin].by_direction => {
                map[n] = *twin;
                all[*twin].by_direction = true;
                all[*twin].packets.scope = Scope::Both;
            }
            _ => {
                known.insert(key(scope), n);
            }
        }
    }
    map
}

/// Returns for each shared value the index of the first equal value.
fn equal_shared(program: &Program) -> Vec<usize> {
    let mut known: HashMap<String, usize> = HashMap::new();
    let place = |(n, shared)| *known.entry(format!("{shared:?}")).or_insert(n);
    program.shared.iter().enumerate().map(place).collect()
}

/// Removes the items that others replace.
fn retain<T>(all: &mut Vec<T>, map: &[usize]) {
    let mut n = 0;
    all.retain(|_| {
        n += 1;
        map[n - 1] == n - 1
    });
}

/// Returns the new index of each item after those that are replaced were removed.
fn places(map: &[usize]) -> Vec<usize> {
    let mut count = 0;
    let mut places: Vec<usize> = Vec::new();
    for (n, new) in map.iter().enumerate() {
        // The one that replaces an item comes before it.
        if *new == n {
            places.push(count);
            count += 1;
        } else {
            places.push(places[*new]);
        }
    }
    places
}
