// What check.js and walk.js know of colours. They are put below it.
const parse = (color) => {
  const n = color.match(/[\d.]+/g).map(Number);
  return n.length > 3 ? n : [...n, 1];
};
const luminance = (c) => {
  const [r, g, b] = c.slice(0, 3).map((v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (el) => {
  for (let at = el.parentElement; at; at = at.parentElement) {
    const c = parse(getComputedStyle(at).backgroundColor);
    if (c[3] === 1) return c;
  }
  return [255, 255, 255, 1];
};
// The contrast of a line around el with what is around el; 0 if one can see through it.
const contrast = (color, el) => {
  const line = parse(color);
  if (line[3] < 1) return 0;
  const [a, b] = [luminance(line), luminance(behind(el))].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
};
