package vn.kieumau.app

import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.async
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.flow.transformWhile
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.api.io.TempDir
import vn.kieumau.core.*
import java.nio.file.Path

/** An officer's phone and a real server. */
@Timeout(120)
class ServerTest {
    @TempDir
    lateinit var folder: Path

    @Test
    fun `what An recorded is received when the server has signed for it and every photo`() = runBlocking {
        DemoServer.start(folder.resolve("server")).use { server ->
            val config = PhoneConfig(folder.resolve("phone").toString(), ByteArray(32) { 7 }, "0.1.0")
            PhoneStore.open(config).use { store ->
                val an = store.enrol(server.url, server.code("an"))
                assertEquals(server.url to Role.OFFICER, an.serverUrl to an.role)

                val patrol = store.startPatrol(NewPatrol("Ca đêm 21/11, tổ An"))
                val new = NewObservation(category = "urban-order", count = 3, countUnit = "household")
                val observation = store.addObservation(patrol, new)
                val photo = store.attach(patrol, observation, photo(folder).toString())
                store.end(patrol)
                assertEquals(ItemState.SAVED, state(store, patrol))

                val seen = async(start = CoroutineStart.UNDISPATCHED) {
                    store.sync.transformWhile { emit(it); it !is SyncState.Done }.toList()
                }
                val report = store.sync()
                assertEquals(emptyList<String>(), report.refusedChanges)
                assertEquals(ItemState.RECEIVED, state(store, patrol))
                assertTrue(store.attachment(photo).first().received)
                assertTrue(seen.await().any { it is SyncState.Running }, "nobody saw the sync run")
                assertTrue("An" in store.colleagues().first().map { it.name }, "the unit's people came with it")
            }
        }
    }

    private suspend fun state(store: PhoneStore, document: DocumentId): ItemState =
        store.items().first().single { it.document == document }.state
}
