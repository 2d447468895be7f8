// Settings: wrong values beside their fields, a change that is looked at and saved, trunks that come and
// go, back-up and restore.
const { assert, fs, test, run, openAt, show, picture, field, wrongBeside, sees } = require("./lib.js");

run(async open => {
  const page = await openAt(open, "settings");
  page.expected.push(/status of 4\d\d/);
  const review = page.getByRole("button", { name: "Review and save" });

  // Wrong values: beside the field while typing, with the focus when it is to be saved.
  await sees(page, "Trunk test");
  await field(page, "SIP port of this box").fill("70000");
  assert.match(await wrongBeside(page, "SIP port of this box"), /port from 1 to 65535/);
  await field(page, "Address of the PBX").focus();
  await review.click();
  await page.waitForFunction(() => document.activeElement.dataset.path === "trunks.test.localPort");
  await picture(page, "settings-wrong");
  // One of another section is found there.
  await page.getByRole("button", { name: "Discard" }).click();
  await show(page, "settings/limits");
  await field(page, "Calls at once").fill("none");
  await show(page, "settings/media");
  await review.click();
  await sees(page, "Limits");
  assert.match(await wrongBeside(page, "Calls at once"), /number from 1 to 1000/);
  await page.getByRole("button", { name: "Discard" }).click();

  // A secret is never told, and kept.
  await show(page, "settings/rest");
  const secret = field(page, "Password");
  assert.equal(await secret.inputValue(), "");
  assert.equal(await secret.getAttribute("placeholder"), "Set, not shown");
  const told = await page.evaluate(async () => (await fetch("/page/settings")).text());
  assert.ok(!told.includes(test.secret), "the secret was told");

  // A change: what was typed stays while the page asks for news; then the difference, then the file.
  await show(page, "settings/trunks.test");
  await page.getByText("More options").first().click();
  await field(page, "Display name").fill("Front door");
  await page.waitForTimeout(2500);
  assert.equal(await field(page, "Display name").inputValue(), "Front door");
  await review.click();
  await page.getByRole("dialog").getByText(/visibleName: "?Front door/).waitFor();
  await picture(page, "settings-review");
  await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
  await sees(page, "Saved.");
  let file = fs.readFileSync(test.file, "utf8");
  assert.match(file, /visibleName: "?Front door/);
  assert.ok(file.includes(test.secret), "the secret is lost");

  // What needs a restart says so.
  await show(page, "settings/limits");
  await field(page, "Calls at once").fill("16");
  await review.click();
  await page.getByRole("dialog").getByText(/After a restart only: limits.calls/).waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("button", { name: "Discard" }).click();

  // Trunks come, are renamed, and go.
  await page.getByRole("button", { name: "Add a trunk" }).click();
  await sees(page, "Trunk trunk1");
  await field(page, "SIP port of this box").fill(String(test.secondPort));
  await field(page, "Who else may call").fill("192.0.2.0/24\n198.51.100.7");
  await page.getByRole("button", { name: "Rename" }).click();
  await field(page, "Name").fill("branch");
  await page.getByRole("dialog").getByRole("button", { name: "Rename" }).click();
  await sees(page, "Trunk branch");
  await review.click();
  await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  file = fs.readFileSync(test.file, "utf8");
  assert.match(file, /branch:/);
  assert.match(file, /198\.51\.100\.7/);

  // Back-up with the password alone; restoring takes the second trunk away again.
  await show(page, "care");
  const backup = page.locator("section", { hasText: "Back-up" }).first();
  await backup.getByLabel("Password").fill("wrong password");
  await backup.getByRole("button", { name: "Download back-up" }).click();
  await sees(page, "That is not the password. Please try again.");
  await backup.getByLabel("Password").fill(test.password);
  const [download] = await Promise.all([page.waitForEvent("download"), backup.getByRole("button", { name: "Download back-up" }).click()]);
  const saved = fs.readFileSync(await download.path(), "utf8");
  assert.equal(saved, file);
  const bad = { name: "bad.yml", mimeType: "text/plain", buffer: Buffer.from("trunks:\n  a: {localPort: none}\n") };
  await field(page, "Back-up file").setInputFiles(bad);
  await page.getByRole("button", { name: "Restore" }).click();
  await sees(page, /Nothing was changed/);
  await sees(page, /trunks.a.localPort/);
  const good = { name: "good.yml", mimeType: "text/plain", buffer: Buffer.from(saved.replace("Front door", "Back door")) };
  await field(page, "Back-up file").setInputFiles(good);
  await page.getByRole("button", { name: "Restore" }).click();
  await sees(page, "Restored.");
  assert.match(fs.readFileSync(test.file, "utf8"), /visibleName: "?Back door/);
  await show(page, "settings/trunks.branch");
  await page.getByRole("button", { name: "Remove" }).last().click();
  await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
  await review.click();
  await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.ok(!/branch/.test(fs.readFileSync(test.file, "utf8")));

  // The diagnosis has no secret.
  await show(page, "care");
  const [diagnosis] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Download diagnosis" }).click()]);
  const text = fs.readFileSync(await diagnosis.path(), "utf8");
  assert.ok(text.length > 200 && !text.includes(test.secret));
});
