// Which of some names is meant by one that is not among them.

const MOST = 3;
/** Of the pairs of characters of two names, this part must be the same. */
const ALIKE = 0.4;

/** The pairs of characters that stand side by side, those between words apart. */
function pairs(text) {
  return text.toLowerCase().split(/\s+/).flatMap((word) => {
    const signs = [...` ${word} `];
    return signs.slice(1).map((sign, index) => signs[index] + sign);
  });
}

/** How much alike two names are, 0 to 1 (Dice's coefficient of their pairs of characters). */
function likeness(one, other) {
  const [mine, theirs] = [pairs(one), pairs(other)];
  const left = [...theirs];
  const same = mine.filter((pair) => {
    const place = left.indexOf(pair);
    if (place >= 0) left.splice(place, 1);
    return place >= 0;
  });
  return (2 * same.length) / (mine.length + theirs.length);
}

/** The names that are most alike, at most three. */
export function nearest(wanted, names) {
  return names
    .map((name) => [likeness(wanted, name), name])
    .filter(([alike]) => alike >= ALIKE)
    .sort(([one], [other]) => other - one)
    .slice(0, MOST)
    .map(([, name]) => name);
}
