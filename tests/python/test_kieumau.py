"""The Python bindings: an officer's phone without signal, and with a real server."""

import asyncio
import time
import unittest
from pathlib import Path

import kieumau
import world
from kieumau import ItemState, NewPatrol, PhoneError, Rule, SyncOptions
from world import JPEG, Deaf, Heard, sidewalk


class Offline(world.PhoneTest):
    """An officer's phone without signal."""

    def test_the_library_keeps_the_contract_that_these_tests_were_written_for(self):
        self.assertEqual(kieumau.contract(), 1)

    def test_the_catalogue_has_22_criteria_and_says_that_it_is_a_placeholder(self):
        catalogue = kieumau.catalogue()
        self.assertTrue(catalogue.placeholder)
        self.assertEqual([criterion.number for criterion in catalogue.criteria], list(range(1, 23)))

    async def test_a_wrong_key_is_invalid_at_key(self):
        phone = await self.open()
        del phone
        await self.assert_invalid("key", Rule.UNREADABLE, self.open(bytes([8]) * 32))
        await self.assert_invalid("key", Rule.MALFORMED, self.open(bytes(31)))
        await self.open()

    async def test_a_folder_that_is_open_is_not_opened_again_until_it_is_closed(self):
        phone = await self.enrolled_at_a_desk()
        patrol = await phone.start_patrol(NewPatrol(title="Ca đêm 21/11, tổ An"))
        await self.assert_invalid("folder", Rule.ALREADY, self.open())
        self.assertEqual([one.patrol for one in await phone.patrols()], [patrol])
        del phone
        phone = await self.open()
        self.assertEqual([one.patrol for one in await phone.patrols()], [patrol])

    async def test_a_phone_that_is_not_enrolled_is_signed_out_and_says_so(self):
        phone = await self.open()
        self.assertIsNone(await phone.profile())
        for call in (phone.start_patrol(NewPatrol(title="Ca đêm")), phone.sync()):
            with self.assertRaises(PhoneError.SignedOut) as refused:
                await call
            self.assertEqual(refused.exception.word, "not-enrolled")

    async def test_a_broken_rule_names_its_field(self):
        phone = await self.enrolled_at_a_desk()
        await self.assert_invalid("title", Rule.REQUIRED, phone.start_patrol(NewPatrol(title=" ")))
        patrol = await phone.start_patrol(NewPatrol(title="Ca đêm 21/11, tổ An"))
        for field, rule, new in (
            ("count", Rule.TOO_SMALL, sidewalk(count=0)),
            ("category", Rule.UNKNOWN, sidewalk(category="weather")),
            ("position", Rule.OFF_THE_MAP, sidewalk(position=kieumau.Position(lat=0.0, lon=0.0))),
            ("note", Rule.FORBIDDEN_CHARACTER, sidewalk(note="a\u202eb")),
        ):
            await self.assert_invalid(field, rule, phone.add_observation(patrol, new))
        await self.assert_invalid("document", Rule.MALFORMED, phone.pause("no id"))
        self.assertEqual(await phone.observations(patrol), [])

    async def test_a_patrol_of_another_phone_is_not_found(self):
        phone = await self.enrolled_at_a_desk()
        with self.assertRaises(PhoneError.NotFound):
            await phone.patrol("00000000-0000-7000-8000-0000000000ff")

    async def test_what_was_recorded_is_there_after_closing_and_opening(self):
        phone = await self.enrolled_at_a_desk()
        patrol = await phone.start_patrol(NewPatrol(title="Ca đêm 21/11, tổ An", forces={"militia": 4}))
        place = kieumau.Position(lat=18.6734, lon=105.6813)
        now_ms = int(time.time() * 1000)
        self.assertIsNone(await phone.add_fix(patrol, kieumau.Fix(at_ms=now_ms, position=place, accuracy_m=8.0)))
        dropped = await phone.add_fix(patrol, kieumau.Fix(at_ms=now_ms + 1, position=place, accuracy_m=None))
        self.assertEqual(dropped, kieumau.Dropped.WITHOUT_ACCURACY)
        observation = await phone.add_observation(patrol, sidewalk(position=place, note="Lấn chiếm vỉa hè"))
        photo = await phone.attach(patrol, observation, self.photo())
        del phone

        phone = await self.open()
        view = await phone.patrol(patrol)
        self.assertEqual((view.forces, [len(track.fixes) for track in view.tracks]), ({"militia": 4}, [1]))
        [seen] = await phone.observations(patrol)
        self.assertEqual((seen.content.note, seen.content.position), ("Lấn chiếm vỉa hè", place))
        self.assertEqual(seen.attachments, [photo])
        self.assertEqual(Path(await phone.viewable(photo)).read_bytes(), JPEG)
        [item] = await phone.items()
        self.assertEqual((item.state, item.unsent_attachments), (ItemState.SAVED, 1))

    async def test_a_text_file_is_no_attachment(self):
        phone = await self.enrolled_at_a_desk()
        patrol = await phone.start_patrol(NewPatrol(title="Ca đêm"))
        text = self.folder / "note.jpg"
        text.write_text("not a photo")
        await self.assert_invalid("attachment", Rule.WRONG_KIND, phone.attach(patrol, None, str(text)))

    async def test_a_listener_that_throws_stops_no_sync(self):
        phone = await self.enrolled_at_a_desk()
        await phone.start_patrol(NewPatrol(title="Ca đêm"))
        once = SyncOptions(tries=1, attachments=True)
        for listener in (Deaf(), heard := Heard()):
            await phone.listen(listener)
            with self.assertRaises(PhoneError.Offline):
                await phone.sync(once)
        self.assertTrue(any(event.is_STATE() for event in heard.events))
        [item] = await phone.items(ItemState.WAITING)
        self.assertGreater(item.unsent_changes, 0)

    async def test_a_rescue_file_is_written_without_signal_and_no_recorded_word_is_in_it(self):
        phone = await self.enrolled_at_a_desk()
        patrol = await phone.start_patrol(NewPatrol(title="Ca đêm"))
        await phone.add_observation(patrol, sidewalk(note="Lấn chiếm vỉa hè"))
        path = self.folder / "an.rescue"
        report = await phone.export_rescue(str(path))
        self.assertEqual((report.changes, report.fixes_left, report.files_left), (2, 0, 0))
        written = path.read_bytes()
        self.assertEqual(report.size_bytes, len(written))
        for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
            self.assertNotIn("vỉa hè".encode(encoding), written)
        with self.assertRaises(PhoneError.Offline):
            await phone.deliver_rescue(str(path))


class WithServer(world.ServerTest):
    """An officer's phone and a real server."""

    async def test_what_an_recorded_is_received_when_the_server_has_signed_for_it(self):
        phone = await self.open()
        profile = await phone.enrol(self.url, self.code("an"))
        self.assertEqual((profile.server_url, profile.revoked), (self.url, False))
        heard = Heard()
        await phone.listen(heard)

        patrol = await phone.start_patrol(NewPatrol(title="Ca đêm 21/11, tổ An"))
        observation = await phone.add_observation(patrol, sidewalk())
        photo = await phone.attach(patrol, observation, self.photo())
        await phone.end(patrol)
        self.assertEqual(await self.state(phone, patrol), ItemState.SAVED)

        report = await asyncio.wait_for(phone.sync(), 60)
        self.assertEqual(report.refused_changes, [])
        self.assertEqual(await self.state(phone, patrol), ItemState.RECEIVED)
        self.assertTrue((await phone.attachment(photo)).received)
        self.assertTrue(any(event.is_STATE() for event in heard.events))
        progress = [event for event in heard.events if event.is_PROGRESS()]
        self.assertEqual((progress[-1].sha256, progress[-1].sent_bytes), (photo, len(JPEG)))

    async def test_a_code_lets_one_phone_in(self):
        code = self.code("an")
        phone = await self.open()
        await phone.enrol(self.url, code)
        another = await self.open(name="another")
        with self.assertRaises(PhoneError.SignedOut) as refused:
            await another.enrol(self.url, code)
        self.assertEqual(refused.exception.word, "code-used")


if __name__ == "__main__":
    unittest.main()
