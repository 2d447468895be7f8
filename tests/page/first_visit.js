// The whole first visit: a password, the guide with its tests, and the first call seen live.
const { assert, test, say, run, picture, field, wrongBeside, sees } = require("./lib.js");

run(async open => {
  const page = await open();
  page.expected.push(/status of 4\d\d/);
  await sees(page, "Welcome");
  await picture(page, "first-password");
  await field(page, "Password").fill("short");
  await page.getByRole("button", { name: "Set password" }).click();
  await sees(page, "Please use 8 to 128 characters.");
  await field(page, "Password").fill(test.password);
  await page.getByRole("button", { name: "Set password" }).click();

  // The PBX: nothing yet, one that is not there, then the right one.
  await sees(page, "Connect your PBX");
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "H1");
  await page.getByRole("button", { name: "Next" }).click();
  assert.match(await wrongBeside(page, "Address of the PBX"), /nobody could call/);
  await field(page, "Address of the PBX").fill("no-such-pbx.invalid");
  await page.getByRole("button", { name: "Test the PBX" }).click();
  await sees(page, /This name is not known/);
  await picture(page, "guide-pbx-wrong");
  await field(page, "Address of the PBX").fill("127.0.0.1");
  await page.getByText("More options").click();
  await field(page, "SIP port of the PBX").fill(String(test.pbxPort));
  await field(page, "SIP port of this box").fill(String(test.sipPort));
  await page.getByRole("button", { name: "Test the PBX" }).click();
  await sees(page, "All of it works.");
  await picture(page, "guide-pbx");
  await page.getByRole("button", { name: "Next" }).click();

  // The stream: an application that is not there, then the right one.
  await sees(page, "Choose where the stream goes");
  await page.getByText("nginx-rtmp").click();
  await field(page, "Address of the server").fill(test.wrongUrl);
  await page.getByRole("button", { name: "Test the stream" }).click();
  await page.locator(".steps .bad").waitFor();
  await picture(page, "guide-stream-wrong");
  await field(page, "Address of the server").fill(test.url2);
  await page.getByRole("button", { name: "Test the stream" }).click();
  await sees(page, "All of it works.");
  await picture(page, "guide-stream");
  await page.getByRole("button", { name: "Save" }).click();

  // The first call, with its picture.
  await sees(page, "Call this number now");
  await sees(page, String(test.sipPort));
  await sees(page, "Waiting for your first call …");
  await picture(page, "guide-waiting");
  say("waiting for the call");
  await sees(page, "It works: your call is here.");
  await page.waitForFunction(() => document.querySelector("video")?.currentTime > 0.5 && document.querySelector("video").videoWidth > 0);
  await picture(page, "guide-first-call");
  await page.getByRole("link", { name: "Done" }).click();

  await sees(page, "1 call live");
  await sees(page, "Gate (gate)");
  await page.locator(".call dd", { hasText: /^Live/ }).waitFor();
  await page.getByRole("button", { name: "Show picture" }).click();
  await page.waitForFunction(() => document.querySelector("video")?.currentTime > 0.5);
  // The picture is no black rectangle.
  const shades = await page.evaluate(() => {
    const video = document.querySelector("video");
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [64, 36];
    const pen = canvas.getContext("2d");
    pen.drawImage(video, 0, 0, 64, 36);
    return new Set(pen.getImageData(0, 0, 64, 36).data).size;
  });
  assert.ok(shades > 20, `${shades} shades`);
  await page.getByRole("button", { name: "Sound on" }).click();
  await page.getByRole("button", { name: "Sound off" }).waitFor();
  await page.waitForTimeout(2500);
  await picture(page, "now-call");
  await page.getByRole("button", { name: "Hang up" }).click();
  await page.getByRole("button", { name: "Cancel" }).click();
  await sees(page, "1 call live");
  await page.getByRole("button", { name: "Hang up" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Hang up" }).click();
  await sees(page, "Ready: waiting for calls");
  await sees(page, "Hung up on this page");
  say("hung up");
});
