// Finds the name that an author meant.

// Returns `; did you mean \`NAME\`?` with the most similar of the names, or `otherwise` if none is similar.
export function hint(wrong, names, otherwise = "") {
  const name = nearest(wrong, names);
  return name === undefined ? otherwise : `; did you mean \`${name}\`?`;
}

// Returns the most similar of the names, if its edit distance is at most a third of its length. Case does not count.
export function nearest(wrong, names) {
  let best;
  let least = Infinity;
  for (const name of names) {
    const changes = distance(wrong.toLowerCase(), name.toLowerCase());
    if (changes < least && changes <= Math.max(1, Math.floor(name.length / 3))) [best, least] = [name, changes];
  }
  return best;
}

// Returns the number of characters to insert, remove, change or swap with the next one.
function distance(a, b) {
  const rows = [Array.from({ length: b.length + 1 }, (_, n) => n)];
  for (let i = 1; i <= a.length; i++) {
    rows[i] = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      rows[i][j] = Math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        rows[i][j] = Math.min(rows[i][j], rows[i - 2][j - 2] + 1);
    }
  }
  return rows[a.length][b.length];
}

// Returns the names as code, separated by commas.
export function list(names) {
  return names.map((name) => `\`${name}\``).join(", ");
}
