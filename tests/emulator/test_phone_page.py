"""The page that plays the phone, in a real browser, with a real neonize on the other side."""

import io

import pytest
import segno
from playwright.async_api import async_playwright, expect

pytestmark = pytest.mark.browser


@pytest.fixture
async def page(emulator, phone, chromium_executable):
    """The phone page of this test's number, in English. Fails when the page complains."""
    complaints = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_executable)
        shown = await browser.new_page(locale="en-GB")
        shown.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        shown.on("pageerror", lambda error: complaints.append(str(error)))
        await shown.goto(f"http://127.0.0.1:{emulator.control_port}/#{phone.number}")
        await shown.goto(f"http://127.0.0.1:{emulator.control_port}/phone/#{phone.number}")
        yield shown
        await browser.close()
    assert complaints == []


async def test_the_page_scans_the_text_of_a_qr_and_lists_the_device(page, start, phone):
    client = await start()
    await page.get_by_role("button", name="Link a device").click()
    await page.get_by_label("or the text of the QR").fill(await client.qr())
    await page.get_by_role("button", name="Scan", exact=True).click()
    await expect(page.get_by_role("status").filter(has_text="Confirmed")).to_be_visible()
    await page.get_by_role("button", name="Done").click()
    await client.until("Connected")
    await expect(page.get_by_text("online", exact=True)).to_be_visible()
    await page.get_by_role("button", name="Log out").click()
    await client.until("LoggedOut")
    await expect(page.get_by_text("No devices are linked yet.")).to_be_visible()
    assert await phone.devices() == []


async def test_the_page_scans_a_picture(page, start):
    client = await start()
    picture = io.BytesIO()
    segno.make(await client.qr(), error="l").save(picture, kind="png", scale=4)
    await page.get_by_role("button", name="Link a device").click()
    await page.get_by_label("Choose a picture").set_input_files(
        {"name": "qr.png", "mimeType": "image/png", "buffer": picture.getvalue()}
    )
    await expect(page.get_by_role("status").filter(has_text="Confirmed")).to_be_visible()
    await client.until("Connected")


async def test_the_page_notices_that_a_code_is_wanted_and_types_it(page, start, phone):
    client = await start()
    await client.qr()
    code = await client.code(phone.number)
    await page.get_by_role("button", name="Link a new device?").click()
    await page.get_by_role("button", name="Type a wrong code").click()
    await expect(page.get_by_role("status").filter(has_text="Wrong code")).to_be_visible()
    await page.get_by_role("button", name="Done").click()
    await page.get_by_role("button", name="Link a new device?").click()
    await page.keyboard.type(code)
    await expect(page.get_by_role("status").filter(has_text="Confirmed")).to_be_visible()
    await client.until("Connected")


async def test_the_page_sets_how_the_phone_behaves_and_speaks_russian(page, start, phone):
    await page.get_by_role("button", name="refuses", exact=True).click()
    await page.get_by_label("Language").select_option("ru")
    refuses = page.get_by_role("button", name="отказывается", exact=True)
    await expect(refuses).to_have_attribute("aria-pressed", "true")
    client = await start()
    assert await phone.scan(await client.qr()) == "refused"
    await expect(page.get_by_role("listitem").filter(has_text="Владелец отказался")).to_be_visible()
    await page.get_by_role("button", name="сразу соглашается").click()
    await expect(refuses).to_have_attribute("aria-pressed", "false")
