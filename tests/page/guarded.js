// Who may look: wrong passwords, the lock after them, a session that ends; and a caller whose name is an
// attack.
const { assert, test, say, run, signIn, show, picture, field, sees } = require("./lib.js");

run(async open => {
  const page = await open();
  page.expected.push(/status of 4\d\d/);
  assert.equal((await page.request.get(new URL("/page/now", test.url).href)).status(), 401);
  await field(page, "Password").fill("not it at all");
  await page.keyboard.press("Enter");
  await sees(page, "That is not the password. Please try again.");
  await picture(page, "sign-in-wrong");
  await field(page, "Password").fill(test.password);
  await page.keyboard.press("Enter");
  await page.waitForSelector("nav a");

  // A name that would run, if anything of it became markup.
  await show(page, "now");
  say("waiting for the attack");
  await page.locator(".call h3", { hasText: "<img src=x onerror=" }).waitFor();
  await page.waitForTimeout(1500);
  await picture(page, "now-attack");
  say("seen");
  await page.locator("td", { hasText: "The caller hung up" }).first().waitFor();
  assert.equal(await page.locator("main img").count(), 0);
  assert.equal(await page.evaluate(() => window.owned), undefined);
  assert.ok(!(await page.title()).includes("owned"));

  // Signing out ends it, also for another window of the browser.
  const other = await open({ context: page.context() });
  await other.waitForSelector("nav a");
  await page.getByRole("button", { name: "Sign out" }).click();
  await sees(page, "With the password of this box.");
  other.expected.push(/status of 401/);
  await sees(other, "With the password of this box.");
  await other.close();

  // Another site cannot speak in our name.
  const foreign = await page.request.post(new URL("/page/login", test.url).href, { data: { password: test.password } });
  assert.equal(foreign.status(), 403);

  // Too many wrong ones.
  for (let tries = 0; ; tries += 1) {
    assert.ok(tries < 30, "never locked");
    await field(page, "Password").fill("not it at all");
    await page.keyboard.press("Enter");
    const place = page.locator(".wrong[role=alert]");
    await page.locator("button[type=submit]:not([aria-busy=true])").waitFor();
    await place.filter({ hasText: /./ }).waitFor();
    if (/Too many tries\. Wait \d+ s\./.test(await place.innerText())) break;
  }
  assert.ok(await page.locator("button[type=submit]").isDisabled());
  await picture(page, "sign-in-locked");
});
