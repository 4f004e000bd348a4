// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! What refers to what, among types that are numbered from 1 on.

/// For each type a list of others; 0 stands for void, which has none.
pub struct Graph {
    /// Where the list of each number ends; that of the next one follows.
    ends: Vec<u32>,
    lists: Vec<u32>,
}

impl Graph {
    /// Of so many types; `each` visits what belongs into the list of one.
    pub fn new(count: usize, each: impl Fn(u32, &mut dyn FnMut(u32))) -> Graph {
        let mut graph = Graph {
            ends: vec![0],
            lists: Vec::new(),
        };
        for number in 1..=count as u32 {
            each(number, &mut |other| graph.lists.push(other));
            graph.ends.push(graph.lists.len() as u32);
        }
        graph
    }

    pub fn of(&self, number: u32) -> &[u32] {
        match number as usize {
            0 => &[],
            i => &self.lists[self.ends[i - 1] as usize..self.ends[i] as usize],
        }
    }

    fn count(&self) -> usize {
        self.ends.len() - 1
    }

    /// Who has a number in its list.
    pub fn reversed(&self) -> Graph {
        let mut ends = vec![0; self.ends.len()];
        for &other in &self.lists {
            ends[other as usize] += 1;
        }
        for i in 1..ends.len() {
            ends[i] += ends[i - 1];
        }
        let mut next: Vec<u32> = ends.clone();
        let mut lists = vec![0; self.lists.len()];
        for number in 1..=self.count() as u32 {
            for &other in self.of(number) {
                let at = &mut next[other as usize - 1];
                lists[*at as usize] = number;
                *at += 1;
            }
        }
        Graph { ends, lists }
    }

    /// All numbers, those together that lead to each other, each such group behind all that it leads
    /// to: Tarjan's strongly connected components, with a stack of its own in place of calls.
    pub fn groups(&self) -> Vec<Vec<u32>> {
        const UNSEEN: u32 = 0;
        const DONE: u32 = u32::MAX;
        let mut groups = Vec::new();
        // When each was seen first, and the earliest of its group that is known.
        let mut first = vec![UNSEEN; self.count() + 1];
        let mut earliest = vec![0; self.count() + 1];
        let mut clock = UNSEEN;
        let mut open: Vec<u32> = Vec::new();
        // On the way: a number, and how many of its list have been followed.
        let mut way: Vec<(u32, usize)> = Vec::new();
        for start in 1..=self.count() as u32 {
            if first[start as usize] == UNSEEN {
                way.push((start, 0));
            }
            while let Some((number, followed)) = way.pop() {
                let at = number as usize;
                if followed == 0 {
                    clock += 1;
                    (first[at], earliest[at]) = (clock, clock);
                    open.push(number);
                } else {
                    let last = self.of(number)[followed - 1] as usize;
                    earliest[at] = earliest[at].min(earliest[last]);
                }
                let mut rest = self.of(number)[followed..].iter().zip(followed + 1..);
                let next = rest.find(|(&other, _)| {
                    let seen = first[other as usize];
                    if seen != UNSEEN && seen != DONE {
                        earliest[at] = earliest[at].min(seen);
                    }
                    seen == UNSEEN
                });
                if let Some((&other, followed)) = next {
                    way.extend([(number, followed), (other, 0)]);
                } else if earliest[at] == first[at] {
                    let from = open.iter().rposition(|&o| o == number).unwrap_or(0);
                    let group = open.split_off(from);
                    for &member in &group {
                        first[member as usize] = DONE;
                        // It must not count for who leads there.
                        earliest[member as usize] = DONE;
                    }
                    groups.push(group);
                }
            }
        }
        groups
    }

    /// For each number from 1 on whether a way leads there from one of these.
    pub fn reach(&self, from: Vec<u32>) -> Vec<bool> {
        let mut queue = from;
        let mut reached = vec![false; self.count()];
        for &number in &queue {
            reached[number as usize - 1] = true;
        }
        while let Some(number) = queue.pop() {
            for &other in self.of(number) {
                if !std::mem::replace(&mut reached[other as usize - 1], true) {
                    queue.push(other);
                }
            }
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reversed_it_leads_back() {
        let to: [&[u32]; 4] = [&[2, 3], &[3], &[1], &[]];
        let graph = Graph::new(4, |i, visit| {
            to[i as usize - 1].iter().for_each(|&n| visit(n))
        });
        let back = graph.reversed();
        let lists: Vec<&[u32]> = (0..=4).map(|i| back.of(i)).collect();
        assert_eq!(lists, [&[][..], &[3], &[1], &[1, 2], &[]]);
        assert_eq!(graph.reach(vec![2]), [true, true, true, false]);
        assert_eq!(back.reach(vec![4]), [false, false, false, true]);
    }

    #[test]
    fn groups_lead_to_each_other_and_stand_behind_what_they_lead_to() {
        let to: [&[u32]; 7] = [&[2], &[3, 5], &[1], &[4, 7], &[], &[5, 3], &[4]];
        let graph = Graph::new(7, |i, visit| {
            to[i as usize - 1].iter().for_each(|&n| visit(n))
        });
        let mut groups = graph.groups();
        groups.iter_mut().for_each(|group| group.sort_unstable());
        assert_eq!(groups, [&[5][..], &[1, 2, 3], &[4, 7], &[6]]);
    }

    #[test]
    fn a_long_way_needs_no_deep_stack() {
        let graph = Graph::new(100_000, |i, visit| visit(i % 100_000 + 1));
        assert_eq!(graph.groups().len(), 1);
    }
}
