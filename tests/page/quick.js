// How soon the page can be used: from the request to the state of the box on the screen.
const { assert, say, run, openAt } = require("./lib.js");

run(async open => {
  const page = await openAt(open, "now");
  await page.locator(".status h1").waitFor();
  const took = [];
  for (let round = 0; round < 7; round += 1) {
    await page.reload({ waitUntil: "commit" });
    await page.waitForSelector(".status h1");
    took.push(await page.evaluate(() => performance.getEntriesByName("usable")[0].startTime));
  }
  took.sort((a, b) => a - b);
  say(`usable after ${Math.round(took[3])} ms (median of 7; ${Math.round(took[0])} to ${Math.round(took[6])} ms)`);
  // The machine may be busy with other tests: one round of seven shows what the page can do.
  assert.ok(took[0] < 200, `usable after ${took[0]} ms at best`);
  assert.ok(took[3] < 1000, `usable after ${took[3]} ms`);
});
