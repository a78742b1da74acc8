// Finds the one thing with this name that a person could press, scrolls it
// into view and returns where to press. Returns {problem} when there is none,
// more than one, or when something covers it.
((name) => {
  const tidy = (s) => (s || "").replace(/\s+/g, " ").trim();
  const visible = (el) => el.getClientRects().length > 0 && getComputedStyle(el).visibility === "visible";
  const all = [...document.querySelectorAll("a[href], button, summary, label, input[type=submit], [role=button]")].filter(visible);
  const names = (el) => {
    const bare = el.cloneNode(true);
    for (const hidden of bare.querySelectorAll(".vh")) hidden.remove();
    return [el.getAttribute("aria-label"), el.textContent, bare.textContent, el.value].map(tidy);
  };
  let found = all.filter((el) => names(el).includes(name));
  if (!found.length) found = all.filter((el) => names(el).some((text) => text.startsWith(name)));
  if (found.length > 1) {
    const inMain = found.filter((el) => el.closest("main"));
    if (inMain.length) found = inMain;
  }
  if (found.length !== 1) {
    return { problem: found.length + " things to press are called " + JSON.stringify(name) + "; there are: " + all.map((el) => JSON.stringify(tidy(el.textContent))).join(", ") };
  }
  const el = found[0];
  el.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
  const box = el.getClientRects()[0];
  const x = box.left + box.width / 2, y = box.top + box.height / 2;
  const top = document.elementFromPoint(x, y);
  if (!top || !(el === top || el.contains(top) || top.contains(el))) {
    return { problem: JSON.stringify(name) + " is covered by " + (top ? top.outerHTML.slice(0, 120) : "nothing that can be pressed") };
  }
  globalThis.uitestFound = el.control || el; // for those who press with keys
  return { x, y };
})
