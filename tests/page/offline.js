// The box goes away and comes back: the page says so, keeps what was typed, and goes on.
const { assert, test, say, run, openAt, signIn, picture, field, sees } = require("./lib.js");

run(async open => {
  const page = await openAt(open, "settings");
  page.expected.push(/ERR_|status of 401/);
  await page.getByText("More options").first().click();
  await field(page, "Display name").fill("Still here");
  say("cut it off");
  await sees(page, "Connection to the box lost. Trying again …");
  await picture(page, "offline");
  assert.equal(await field(page, "Display name").inputValue(), "Still here");
  say("bring it back");
  await page.locator(".banner:empty").waitFor({ state: "attached", timeout: 30000 });
  // Sessions do not outlive the program: signing in again leads back to what was typed.
  await page.waitForTimeout(1500);
  if (await page.locator(".gate").count()) await signIn(page);
  await page.getByText("More options").first().click();
  assert.equal(await field(page, "Display name").inputValue(), "Still here");
});
