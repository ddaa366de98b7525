// Generates the function that passes the events of a batch to the author's functions.
//
// The code of the objects is a part of the loop: QuickJS takes 100 ns for a call.

// Returns a function that passes events, and appends what `expire` returns to `answers`. If it throws, `at.event` is
// the index of the event.
export function batchLoop(packets, opened, updated, expired) {
  const groups = { p: packets, o: opened, u: updated, e: expired };
  const row = (letter, index) => groups[letter].expression(letter, index);
  const columns = Object.entries(groups).flatMap(([letter, { names }]) =>
    names.map((_, n) => `const ${letter}${n} = columns.${letter}[${n}];`),
  );
  const text = `
    return (kinds, slots, states, columns, { init, update, expire }, answers, at) => {
      ${columns.join("\n      ")}
      const count = kinds.length;
      let event = 0, packet = 0, inits = 0, updates = 0, expires = 0;
      try {
        for (; event < count; event++) {
          const kind = kinds[event];
          if (kind === 1) {
            update(states[slots[event]], ${row("p", "packet")}, ${row("u", "updates")});
            packet++;
            updates++;
          } else if (kind === 0) {
            states[slots[event]] = init(${row("p", "packet")}, ${row("o", "inits")});
            packet++;
            inits++;
          } else {
            answers.push(expire(states[slots[event]], ${row("e", "expires")}));
            states[slots[event]] = undefined;
            expires++;
          }
        }
      } finally {
        at.event = event;
      }
    };`;
  return new Function(...Object.keys(groups), text)(...Object.values(groups).map(({ base }) => base));
}
