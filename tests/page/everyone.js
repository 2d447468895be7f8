// Every view in both languages, both themes and both widths: axe finds nothing serious, nothing is wider
// than the screen, and each is kept as a picture.
const { assert, test, say, run, openAt, show, picture } = require("./lib.js");

const VIEWS = ["now", "settings/trunks.test", "settings/recording", "settings/hooks", "settings/page", "care", "guide"];
const axe = require.resolve("axe-core/axe.min.js");
const source = require("fs").readFileSync(axe, "utf8");

async function look(page, name) {
  const width = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(width <= 0, `${name} is ${width} px too wide`);
  const found = await page.evaluate(async () => (await axe.run(document)).violations.map(({ id, impact, nodes }) => ({ id, impact, nodes: nodes.map(({ html, failureSummary }) => `${html}: ${failureSummary}`) })));
  const serious = found.filter(({ impact }) => ["serious", "critical"].includes(impact));
  assert.deepEqual(serious, [], `${name}: ${JSON.stringify(serious, null, 1)}`);
  for (const { id, impact } of found) say(`axe: ${name}: ${impact} ${id}`);
  await picture(page, name);
}

run(async open => {
  const gate = await open({ width: 360, height: 740 });
  await gate.evaluate(source);
  await look(gate, "sign-in-360-light-en");
  await gate.context().close();
  for (const [width, height] of [[360, 740], [1440, 900]])
    for (const theme of ["light", "dark"])
      for (const lang of ["en", "ru"]) {
        const page = await openAt(open, "now", { width, height, theme, lang });
        await page.locator(".call").first().waitFor();
        await page.evaluate(source);
        for (const view of VIEWS) {
          await show(page, view);
          await page.waitForTimeout(300);
          await page.evaluate(() => document.querySelectorAll("main details").forEach(more => { more.open = true; }));
          await look(page, `${view.replace(/\W/g, "-")}-${width}-${theme}-${lang}`);
        }
        await page.context().close();
      }
});
