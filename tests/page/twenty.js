// Twenty open pages, each with the live picture of the same call where the box has room for it.
const { assert, test, say, run, openAt } = require("./lib.js");

run(async open => {
  const first = await openAt(open, "now", { width: 800, height: 600 });
  const pages = [first];
  while (pages.length < 20) {
    const page = await open({ context: first.context() });
    pages.push(page);
  }
  await Promise.all(pages.map(page => page.waitForSelector(".status h1", { timeout: 30000 })));
  say("twenty pages");
  await Promise.all(pages.map(page => page.locator(".call").waitFor({ timeout: 30000 })));
  await first.bringToFront();
  await first.getByRole("button", { name: "Show picture" }).click();
  await first.waitForFunction(() => document.querySelector("video")?.currentTime > 0.5, undefined, { timeout: 30000 });
  say("watched");
  await first.waitForTimeout(test.seconds * 1000);
});
